//! Baseball diamonds, golf courses and tennis courts.

use crate::sample::draw::{Brush, Frame, P, Rgb, Shape, at, direction, rgb, winding};
use crate::sample::facts::{Facts, Words};

const WHITE: Rgb = rgb(244, 244, 240);

/// One or two diamonds.
pub(super) fn baseball(brush: &mut Brush) -> Facts {
    let mut facts = Facts::default();
    let around = super::surround(brush, &mut facts);
    let turns = brush.rng.unit();
    let middle = brush.centre(6.0).origin;
    let pair = brush.rng.chance(0.3);
    let (base, reach) = if pair { (16.0, 46.0) } else { (brush.rng.range(25.0, 30.0), 86.0) };
    let homes: Vec<Frame> = if pair {
        let axis = Frame::new(middle, turns);
        [0.0, 0.5].iter().map(|&half| axis.inner(0.0, 0.0, half).inner(-54.0, 0.0, 0.0)).collect()
    } else {
        vec![Frame::new(middle - direction(turns) * 38.0, turns)]
    };
    for home in &homes {
        diamond(brush, home, base, reach);
    }
    let fields: Vec<Shape> = homes.iter().map(|home| fan(home, reach + 3.0, 0.14)).collect();
    super::grow(brush, around, |p| fields.iter().any(|field| field.distance(p) < 5.0));
    facts.put(
        "diamonds",
        if pair {
            ["[two baseball diamonds|two baseball fields]", "两[个|块]棒球场"]
        } else {
            ["[a baseball diamond|a baseball field]", "一[个|块]棒球场"]
        },
    );
    facts.put("be", if pair { ["are", ""] } else { ["is", ""] });
    facts
        .put("this", if pair { ["[these|here] are", "[这是|这里有]"] } else { ["[this|it|here] is", "[这是|这里有]"] });
    facts
}

/// The sector of `radius` before `home`, `spread` turns to either side.
fn fan(home: &Frame, radius: f32, spread: f32) -> Shape {
    let arc = (0..=16).map(|step| direction(spread * (step as f32 / 8.0 - 1.0)) * radius);
    let points = std::iter::once(at(-2.0, 0.0)).chain(arc).map(|p| home.to(p.x, p.y)).collect();
    Shape::Polygon(points)
}

fn diamond(brush: &mut Brush, home: &Frame, base: f32, reach: f32) {
    let clay = brush.rng.pick(&[rgb(186, 132, 90), rgb(202, 160, 112), rgb(170, 114, 80)]);
    let (clay, lawn) = (brush.texture(clay, clay.lit(1.08), 12.0, 0.1), brush.grass());
    brush.lay(&fan(home, reach + 3.0, 0.14), &clay);
    let stripe = brush.rng.range(4.0, 7.0);
    let field = fan(home, reach, 0.132);
    brush.canvas.paint(&field, 1.0, 0.0, |p| {
        let local = home.from(p);
        let mown = (local.dot(direction(0.125)) / stripe).rem_euclid(2.0) < 1.0;
        lawn.at(p).lit(if mown { 1.1 } else { 0.96 })
    });
    let slant = std::f32::consts::FRAC_1_SQRT_2;
    brush.lay(&fan(home, base * 1.75, 0.135), &clay);
    let inner = home.inner(base * slant, 0.0, 0.125);
    brush.lay(&inner.rounded(0.0, 0.0, base * 0.84, base * 0.84, 2.0), &lawn);
    brush.lay(&home.disc(base * slant, 0.0, base * 0.12), &clay);
    brush.lay(&home.disc(1.0, 0.0, base * 0.2), &clay);
    let corner = base * slant;
    for side in [-1.0, 1.0] {
        let end = direction(0.125 * side) * reach;
        brush.fill(&home.line(&[(0.0, 0.0), (end.x, end.y)], 0.8), WHITE);
    }
    for (x, y) in [(0.0, 0.0), (corner, corner), (corner, -corner), (2.0 * corner, 0.0), (corner, 0.0)] {
        brush.fill(&home.inner(x, y, 0.125).rect(0.0, 0.0, 1.5, 1.5), WHITE);
    }
}

/// Fairways, greens, bunkers, trees and perhaps a pond.
pub(super) fn golf(brush: &mut Brush) -> Facts {
    let mut facts = Facts::default();
    let rough = brush.texture(rgb(86, 116, 56), rgb(104, 128, 66), 16.0, 0.3);
    brush.cover(&rough);
    let fairway = brush.texture(rgb(126, 172, 82), rgb(138, 182, 92), 24.0, 0.06);
    let frame = brush.centre(7.0);
    let line = winding(&frame, brush.rng.range(44.0, 62.0), 12.0, brush.rng);
    let half = brush.rng.range(14.0, 20.0);
    let (lane, wobble) = (Shape::Stroke { points: line.clone(), half: half + 6.0 }, brush.field(24.0));
    let in_lane = |p: P| lane.distance(p) + 12.0 * wobble(p);
    brush.canvas.paint(&lane, 1.0, 0.0, |p| if in_lane(p) < 0.0 { fairway.at(p) } else { rough.at(p) });
    let green = line[line.len() - 1];
    blob(brush, green, 13.0, &fairway, 1.1);
    brush.fill(&Shape::Disc { centre: green, radius: 0.9 }, rgb(250, 250, 250));
    let pond = brush.rng.chance(0.35).then(|| frame.to(brush.rng.range(-14.0, 14.0), -42.0));
    if let Some(place) = pond {
        let water = brush.water(rgb(58, 96, 126));
        blob(brush, place, 18.0, &water, 1.0);
        facts.put("pond", ["[a pond|a small pond]", "一个[池塘|水塘|小池塘]"]);
    }
    let many = brush.rng.chance(0.5);
    let sand = brush.texture(rgb(232, 216, 176), rgb(222, 204, 162), 14.0, 0.06);
    let away = |p: P| pond.is_none_or(|place| (p - place).length() > 26.0);
    let count = if many { brush.rng.int(7, 10) } else { brush.rng.int(2, 3) };
    let edge = |p: P| (8.0..118.0).contains(&p.x) && (8.0..118.0).contains(&p.y);
    let traps =
        brush.scatter(count as usize, 15.0, |p| !away(p) || !edge(p) || !(-16.0..6.0).contains(&lane.distance(p)));
    for &place in &traps {
        let size = brush.rng.range(4.5, 7.0);
        blob(brush, place, size, &sand, 1.0);
    }
    let wooded = brush.rng.chance(0.5);
    let count = if wooded { 110 } else { 16 };
    let places = brush
        .scatter(count, 5.0, |p| in_lane(p) < 5.0 || !away(p) || traps.iter().any(|&trap| (trap - p).length() < 11.0));
    brush.trees(&places, 2.8, 5.0);
    facts.put(
        "bunkers",
        if traps.len() > 5 {
            ["[many bunkers|many sand bunkers|lots of bunkers]", "[许多|很多]沙坑"]
        } else {
            ["[some bunkers|a few bunkers|several bunkers]", "[一些|几个]沙坑"]
        },
    );
    facts.put(
        "trees",
        if wooded {
            ["[lots of trees|many trees]", "[许多|大量|很多]树木"]
        } else {
            ["[a few trees|some trees]", "[几棵树|零星的树木|少量树木]"]
        },
    );
    facts
}

/// An irregular patch with a soft dark rim.
fn blob(brush: &mut Brush, place: P, radius: f32, surface: &crate::sample::draw::Texture, light: f32) {
    let (first, second) = (brush.rng.unit(), brush.rng.unit());
    let outline = |scale: f32| {
        let points = (0..28).map(|step| {
            let turns = step as f32 / 28.0;
            let reach = 1.0 + 0.22 * direction(2.0 * turns + first).x + 0.12 * direction(3.0 * turns + second).x;
            place + direction(turns) * (reach * radius * scale)
        });
        Shape::Polygon(points.collect())
    };
    let surface = *surface;
    brush.canvas.paint(&outline(1.08), 0.35, 1.0, |p| surface.at(p).lit(0.5));
    brush.canvas.paint(&outline(1.0), 1.0, 0.0, |p| surface.at(p).lit(light));
}

/// One to six courts in rows.
pub(super) fn tennis(brush: &mut Brush) -> Facts {
    const BLUE: Rgb = rgb(58, 98, 156);
    const GREEN: Rgb = rgb(62, 122, 86);
    const RED: Rgb = rgb(164, 82, 66);
    const KINDS: [(Rgb, Rgb, Words); 4] = [
        (BLUE, GREEN, ["blue", "蓝色"]),
        (GREEN, RED, ["green", "绿色"]),
        (RED, GREEN, ["red", "红色"]),
        (BLUE, rgb(118, 134, 156), ["blue", "蓝色"]),
    ];
    const LAYOUTS: [(i32, i32, Words, Words); 4] = [
        (1, 1, ["a tennis court", "一[个|块]网球场"], ["is", ""]),
        (2, 1, ["two tennis courts", "两[个|块]网球场"], ["are", ""]),
        (2, 2, ["four tennis courts", "四[个|块]网球场"], ["are", ""]),
        (3, 2, ["six tennis courts", "六[个|块]网球场"], ["are", ""]),
    ];
    let mut facts = Facts::default();
    let around = super::surround(brush, &mut facts);
    let frame = brush.centre(9.0);
    let (columns, rows, courts, be) = brush.rng.pick(&LAYOUTS);
    let (inner, apron, colour) = brush.rng.pick(&KINDS);
    let (inner, apron) = (brush.near(inner, 0.03), brush.near(apron, 0.03));
    let length = match columns * rows {
        1 => brush.rng.range(58.0, 70.0),
        2 => brush.rng.range(52.0, 60.0),
        4 => brush.rng.range(38.0, 44.0),
        _ => brush.rng.range(34.0, 38.0),
    };
    let (wide, high) = (length * 0.72, length * 1.32);
    let plot = frame.rect(0.0, 0.0, wide * columns as f32, high * rows as f32);
    brush.fill(&frame.rect(0.0, 0.0, wide * columns as f32 + 2.0, high * rows as f32 + 2.0), rgb(150, 150, 144));
    let floor = brush.texture(apron, apron.lit(1.06), 30.0, 0.04);
    brush.lay(&plot, &floor);
    for court in 0..columns * rows {
        let x = ((court % columns) as f32 - (columns - 1) as f32 / 2.0) * wide;
        let y = ((court / columns) as f32 - (rows - 1) as f32 / 2.0) * high;
        draw_court(brush, &frame.inner(x, y, 0.0), length, inner);
    }
    super::grow(brush, around, |p| plot.distance(p) < 4.0);
    facts.put("courts", courts);
    facts.put("be", be);
    facts.put("colour", colour);
    facts
}

/// A court `length` units long along the frame's y, with its lines and net.
fn draw_court(brush: &mut Brush, frame: &Frame, length: f32, colour: Rgb) {
    let (x, y) = (length * 0.23, length * 0.5);
    let (single, service) = (x * 0.75, y * 0.54);
    let floor = brush.texture(colour, colour.lit(1.06), 30.0, 0.04);
    brush.lay(&frame.rect(0.0, 0.0, x * 2.0, y * 2.0), &floor);
    let width = (length / 60.0).clamp(0.7, 1.0);
    let lines = [
        [(-x, -y), (x, -y)],
        [(-x, y), (x, y)],
        [(-x, -y), (-x, y)],
        [(x, -y), (x, y)],
        [(-single, -y), (-single, y)],
        [(single, -y), (single, y)],
        [(-single, -service), (single, -service)],
        [(-single, service), (single, service)],
        [(0.0, -service), (0.0, service)],
    ];
    for line in lines {
        brush.fill(&frame.line(&line, width), WHITE);
    }
    let net = frame.line(&[(-x * 1.1, 0.0), (x * 1.1, 0.0)], width);
    brush.shadow(&net, 1.2);
    brush.fill(&net, rgb(60, 62, 60));
}
