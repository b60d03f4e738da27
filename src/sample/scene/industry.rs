//! Built-up places: housing, harbors and storage tanks.

use crate::sample::draw::{Brush, Frame, P, Rgb, Shape, at, rgb};
use crate::sample::facts::{Facts, Words};

/// Houses in rows along streets.
pub(super) fn residential(brush: &mut Brush) -> Facts {
    const RED: Rgb = rgb(172, 84, 62);
    const GREY: Rgb = rgb(132, 132, 134);
    const BROWN: Rgb = rgb(138, 108, 84);
    const ROOFS: [(&[Rgb], Words); 4] = [
        (&[RED], ["red roofs", "[红色屋顶|红屋顶]"]),
        (&[GREY], ["grey roofs", "[灰色屋顶|灰屋顶]"]),
        (&[BROWN], ["brown roofs", "[棕色屋顶|褐色屋顶]"]),
        (&[RED, GREY, BROWN, rgb(196, 180, 156)], ["roofs of different colors", "[不同颜色的屋顶|各种颜色的屋顶]"]),
    ];
    let mut facts = Facts::default();
    let grass = brush.grass();
    brush.cover(&grass);
    let frame = brush.centre(10.0);
    let (roofs, words) = brush.rng.pick(&ROOFS);
    let (plot, depth) = (brush.rng.range(14.5, 17.0), brush.rng.range(12.0, 13.5));
    let streets = 2.0 * depth + 13.0;
    let leafy = brush.rng.chance(0.5);
    for row in -3..=3 {
        let y = row as f32 * streets;
        brush.road(&[frame.to(-110.0, y), frame.to(110.0, y)], 6.5, None);
    }
    let crossing = brush.rng.chance(0.4);
    if crossing {
        let x = brush.rng.range(-20.0, 20.0);
        brush.road(&[frame.to(x, -110.0), frame.to(x, 110.0)], 8.0, Some(rgb(232, 226, 200)));
        facts.put("main", ["[a main road|a wide road]", "一条[主干道|宽阔的道路]"]);
        rows_of_houses(brush, &frame, (plot, depth, streets), roofs, |p| (frame.from(p).x - x).abs() < 11.0, leafy);
    } else {
        rows_of_houses(brush, &frame, (plot, depth, streets), roofs, |_| false, leafy);
    }
    facts.put("roofs", words);
    if leafy {
        facts.put("trees", ["[lots of trees|many trees]", "[许多树木|很多绿树]"]);
    }
    facts
}

fn rows_of_houses(
    brush: &mut Brush,
    frame: &Frame,
    (plot, depth, streets): (f32, f32, f32),
    roofs: &[Rgb],
    taken: impl Fn(P) -> bool,
    leafy: bool,
) {
    for row in -3..=3 {
        for side in [-1.0, 1.0] {
            let y = row as f32 * streets + side * (depth * 0.5 + 5.5);
            for house in -7..=7 {
                let x = house as f32 * plot + brush.rng.range(-0.8, 0.8);
                let turned = brush.rng.chance(0.3);
                if taken(frame.to(x, y)) {
                    continue;
                }
                let roof = brush.rng.pick(roofs);
                let (long, short) = (brush.rng.range(10.5, 12.5), brush.rng.range(8.5, 10.5));
                if leafy {
                    let back = frame.to(x + plot / 2.0, y + side * 6.0);
                    brush.trees(&[back], 2.4, 3.8);
                }
                brush.fill(&frame.rect(x - 3.5, y - side * 6.0, 2.6, 6.0), rgb(180, 176, 168));
                brush.house(&frame.inner(x, y, if turned { 0.25 } else { 0.0 }), long, short, roof);
            }
        }
    }
}

/// Boats on both sides of piers.
pub(super) fn harbor(brush: &mut Brush) -> Facts {
    const WATERS: [(Rgb, Words); 3] = [
        (rgb(36, 84, 138), ["blue", "蓝色"]),
        (rgb(40, 92, 84), ["green", "绿色"]),
        (rgb(26, 36, 50), ["dark", "[深色|暗色]"]),
    ];
    let mut facts = Facts::default();
    let (colour, words) = brush.rng.pick(&WATERS);
    let water = brush.water(colour);
    brush.cover(&water);
    let frame = brush.centre(8.0);
    let full = brush.rng.chance(0.5);
    let share = if full { brush.rng.range(0.92, 1.0) } else { brush.rng.range(0.22, 0.38) };
    let (length, width) = brush.rng.pick(&[(14.0, 4.6), (17.0, 5.6), (20.0, 6.4)]);
    let pitch = 2.0 * length + brush.rng.range(10.0, 15.0);
    let bank = brush.rng.chance(0.4);
    let shore = if bank { -34.0 } else { -110.0 };
    let deck = brush.near(rgb(192, 184, 168), 0.04);
    for pier in -2..=2 {
        let y = (pier as f32 + 0.3) * pitch;
        let walk = frame.rect(f32::midpoint(shore, 110.0), y, 110.0 - shore, 3.0);
        brush.shadow(&walk, 1.0);
        brush.fill(&walk, deck);
        for side in [-1.0, 1.0] {
            let mut x = shore + 6.0;
            while x < 100.0 {
                if brush.rng.chance(share) {
                    let scale = brush.rng.range(0.82, 1.0);
                    let centre = y + side * (2.4 + length * scale * 0.5);
                    boat(brush, &frame.inner(x, centre, 0.25 * side), length * scale, width * scale);
                }
                x += width + 1.8;
            }
        }
    }
    if bank {
        let ground = brush.concrete();
        brush.lay(&frame.rect(shore - 60.0, 0.0, 120.0, 260.0), &ground);
        facts.put("bank", ["[the bank|the shore]", "岸边"]);
    }
    facts.put("water", words);
    facts.put(
        "boats",
        if full {
            ["[lots of boats|many boats|a lot of boats]", "[许多|很多|大量]船只"]
        } else {
            ["[a few boats|some boats|several boats]", "[几艘船|一些船只|少量船只]"]
        },
    );
    facts.put(if full { "full" } else { "free" }, ["", ""]);
    facts
}

/// A boat, its bow along the frame's x.
fn boat(brush: &mut Brush, frame: &Frame, length: f32, width: f32) {
    let (l, w) = (length / 2.0, width / 2.0);
    let hull = frame.polygon(&[
        (-l, -w),
        (l * 0.3, -w),
        (l * 0.75, -w * 0.6),
        (l, 0.0),
        (l * 0.75, w * 0.6),
        (l * 0.3, w),
        (-l, w),
    ]);
    brush.shadow(&hull, 1.4);
    let paint = brush.near(rgb(238, 238, 234), 0.04);
    brush.fill(&hull, paint);
    let cover =
        brush.rng.pick(&[rgb(44, 74, 130), rgb(206, 206, 200), rgb(120, 84, 60), rgb(150, 44, 40), rgb(70, 80, 90)]);
    brush.fill(&frame.rounded(-l * 0.3, 0.0, length * 0.42, width * 0.62, 0.8), cover);
    brush.fill(&frame.rect(l * 0.22, 0.0, length * 0.1, width * 0.6), rgb(60, 74, 90));
}

/// One to twelve round tanks.
pub(super) fn tanks(brush: &mut Brush) -> Facts {
    const COUNTS: [(i32, i32, f32, Words, Words); 5] = [
        (1, 1, 36.0, ["[a storage tank|one storage tank]", "一[个|座][储罐|油罐]"], ["is", ""]),
        (2, 1, 24.0, ["two storage tanks", "两[个|座][储罐|油罐]"], ["are", ""]),
        (3, 1, 16.0, ["three storage tanks", "三[个|座][储罐|油罐]"], ["are", ""]),
        (2, 2, 21.0, ["four storage tanks", "四[个|座][储罐|油罐]"], ["are", ""]),
        (4, 3, 12.0, ["[many storage tanks|lots of storage tanks]", "[许多|很多][储罐|油罐]"], ["are", ""]),
    ];
    const COLOURS: [(Rgb, Words); 3] = [
        (rgb(240, 240, 236), ["white", "白色"]),
        (rgb(160, 164, 168), ["grey", "灰色"]),
        (rgb(176, 104, 76), ["brown", "[棕色|褐色]"]),
    ];
    let mut facts = Facts::default();
    let (ground, words) = match brush.rng.below(3) {
        0 => (brush.grass(), ["[lawn|grass]", "[草坪|草地]"]),
        1 => (brush.soil(), ["[bare land|bare ground]", "[裸地|空地]"]),
        _ => {
            let surface = brush.concrete();
            let darker =
                crate::sample::draw::Texture { base: surface.base.lit(0.76), patch: surface.patch.lit(0.8), ..surface };
            (darker, ["[cement ground|concrete ground]", "水泥地"])
        }
    };
    brush.cover(&ground);
    facts.put("ground", words);
    let frame = brush.centre(6.0);
    let (columns, rows, radius, count, be) = brush.rng.pick(&COUNTS);
    let radius = radius * brush.rng.range(0.86, 1.04);
    let (colour, words) = brush.rng.pick(&COLOURS);
    let pitch = radius * brush.rng.range(2.45, 2.7);
    let dike = brush.rng.chance(0.5);
    let (wide, high) = (pitch * columns as f32 + 6.0, pitch * rows as f32 + 6.0);
    if dike {
        let wall = brush.near(rgb(206, 198, 182), 0.03);
        brush.fill(&frame.rect(0.0, 0.0, wide + 3.0, high + 3.0), wall);
        brush.lay(&frame.rect(0.0, 0.0, wide, high), &ground);
    }
    if brush.rng.chance(0.5) {
        let pipe = frame.line(&[(-wide * 0.7, high * 0.5 - 4.0), (wide * 0.7, high * 0.5 - 4.0)], 1.6);
        brush.shadow(&pipe, 1.0);
        brush.fill(&pipe, rgb(206, 206, 206));
    }
    for tank in 0..columns * rows {
        let x = ((tank % columns) as f32 - (columns - 1) as f32 / 2.0) * pitch;
        let y = ((tank / columns) as f32 - (rows - 1) as f32 / 2.0) * pitch;
        draw_tank(brush, frame.to(x, y), radius, colour);
    }
    facts.put("tanks", count);
    facts.put("be", be);
    facts.put("colour", words);
    if columns * rows > 1 {
        facts.put("neat", ["[neatly|in lines]", "整齐"]);
    } else {
        facts.put("alone", ["[big|large]", "[大型|巨大]"]);
    }
    facts
}

fn draw_tank(brush: &mut Brush, place: P, radius: f32, colour: Rgb) {
    let colour = brush.near(colour, 0.02);
    let roof = Shape::Disc { centre: place, radius };
    for step in 1..=3 {
        brush.shadow(&roof, radius * 0.14 * step as f32);
    }
    brush.fill(&roof, colour.lit(0.78));
    let (sun, top) = (brush.sun * (1.0 / brush.sun.length()), Shape::Disc { centre: place, radius: radius * 0.93 });
    brush.canvas.paint(&top, 1.0, 0.0, |p| colour.lit(0.94 - 0.12 * (p - place).dot(sun) / radius));
    brush.canvas.paint(&Shape::Ring { centre: place, radius: radius * 0.62, half: 0.4 }, 0.5, 0.0, |_| colour.lit(0.6));
    let hatch = place + at(radius * 0.3, -radius * 0.2);
    brush.fill(&Shape::Disc { centre: hatch, radius: (radius * 0.09).max(0.9) }, colour.lit(0.55));
    brush.fill(&Shape::Disc { centre: place, radius: (radius * 0.07).max(0.8) }, colour.lit(0.6));
}
