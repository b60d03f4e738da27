//! Freeways, intersections and railways.

use super::Around;
use crate::sample::draw::{Brush, Frame, P, Rgb, Shape, at, rgb};
use crate::sample::facts::Facts;

const PAINT: Rgb = rgb(238, 236, 226);

/// A line along the frame's x, straight or bent, every point `shift` beside it.
fn course(frame: &Frame, bend: f32, shift: f32) -> Vec<P> {
    let steps = if bend == 0.0 { 2 } else { 28 };
    (0..=steps)
        .map(|step| {
            let x = 220.0 * (step as f32 / steps as f32 - 0.5);
            let slope = at(1.0, -2.0 * bend * x / 100.0);
            let normal = slope.across() * (1.0 / slope.length());
            frame.to(x + normal.x * shift, -bend * x * x / 100.0 + normal.y * shift)
        })
        .collect()
}

/// Where a vehicle stands that is `part` of the way along a line, heading along it.
fn along(line: &[P], part: f32) -> Frame {
    let place = part.clamp(0.0, 0.999) * (line.len() - 1) as f32;
    let (from, to) = (line[place as usize], line[place as usize + 1]);
    let span = to - from;
    Frame { origin: from + span * place.fract(), axis: span * (1.0 / span.length()) }
}

/// Cars at about `count` places of a lane, none too close to another.
fn drive(brush: &mut Brush, lane: &[P], count: i32, length: f32) {
    let slots = 22;
    let mut places: Vec<i32> = (0..slots).collect();
    brush.rng.shuffle(&mut places);
    for &slot in places.iter().take(count as usize) {
        let part = (slot as f32 + brush.rng.range(0.2, 0.6)) / slots as f32;
        brush.car(&along(lane, part), length);
    }
}

/// Puts the number of cars on the road into words.
fn note_cars(facts: &mut Facts, busy: usize) {
    match busy {
        0 => facts.put("empty", ["no cars", "没有[车辆|汽车]"]),
        1 => facts.put("cars", ["[a few cars|some cars|several cars]", "[几辆|一些]汽车"]),
        _ => facts.put("cars", ["[many cars|lots of cars|a lot of cars]", "[许多|很多|大量]汽车"]),
    }
}

/// Two carriageways with a median.
pub(super) fn freeway(brush: &mut Brush) -> Facts {
    let mut facts = Facts::default();
    let around = super::surround(brush, &mut facts);
    let frame = brush.centre(8.0);
    let bend = if brush.rng.chance(0.5) { 0.0 } else { brush.rng.range(0.35, 0.55) };
    let (lane, lanes) = brush.rng.pick(&[(5.2, 3), (6.4, 3), (6.8, 2)]);
    let median = brush.rng.pick(&[2.2, 2.2, 9.0]);
    let (half, side) = (lane * lanes as f32 / 2.0, lane * lanes as f32 / 2.0 + median / 2.0);
    let stroke = |shift: f32, half: f32| Shape::Stroke { points: course(&frame, bend, shift), half };
    let verge = brush.near(rgb(170, 166, 154), 0.03);
    let ribbon = stroke(0.0, 2.0 * half + median / 2.0 + 2.0);
    if median < 4.0 {
        brush.fill(&ribbon, verge);
    } else {
        let grass = brush.grass();
        brush.lay(&stroke(0.0, median / 2.0), &grass);
        facts.put("median", ["[a green belt|a grass strip]", "绿化带"]);
    }
    let surface = if brush.rng.chance(0.5) { brush.asphalt() } else { brush.concrete() };
    let surface = crate::sample::draw::Texture { base: surface.base.lit(0.86), ..surface };
    for sign in [-1.0, 1.0] {
        brush.fill(&stroke(sign * side, half + 1.2), verge);
        brush.lay(&stroke(sign * side, half), &surface);
        brush.fill(&stroke(sign * (side - half + 0.7), 0.35), rgb(222, 190, 90));
        brush.fill(&stroke(sign * (side + half - 0.7), 0.35), PAINT);
        for border in 1..lanes {
            let line = course(&frame, bend, sign * (side - half + lane * border as f32));
            brush.dashes(&line, 3.4, 5.0, 0.6, PAINT);
        }
    }
    if median < 4.0 {
        brush.fill(&stroke(0.0, 0.5), rgb(206, 204, 196));
    }
    let busy = brush.rng.below(3);
    for sign in [-1.0, 1.0] {
        for index in 0..lanes {
            let line = course(&frame, bend, sign * (side - half + lane * (index as f32 + 0.5)));
            let count = match busy {
                0 => 0,
                1 => brush.rng.int(1, 2),
                _ => brush.rng.int(8, 11),
            };
            drive(brush, &line, count, lane * 0.95);
        }
    }
    super::grow(brush, around, |p| ribbon.distance(p) < 4.0);
    note_cars(&mut facts, busy);
    facts.put("course", if bend == 0.0 { ["straight", "笔直"] } else { ["curved", "弯曲"] });
    facts
}

/// Two roads that meet, in a cross or a T, with lawn, trees or houses at the corners.
pub(super) fn intersection(brush: &mut Brush) -> Facts {
    let mut facts = Facts::default();
    let frame = brush.centre(9.0);
    let corners = brush.rng.below(3);
    let grass = brush.grass();
    brush.cover(&grass);
    let half = brush.rng.range(10.0, 15.0);
    let tee = brush.rng.chance(0.3);
    let asphalt = brush.asphalt();
    let walk = brush.near(rgb(186, 182, 172), 0.02);
    let arms: &[f32] = if tee { &[0.0, 0.25, 0.5] } else { &[0.0, 0.25, 0.5, 0.75] };
    let bars = [(0.0, 200.0), (0.25, if tee { 100.0 } else { 200.0 })];
    let bar = |turns: f32, length: f32, width: f32| {
        frame.inner(0.0, 0.0, turns).rect(if length < 150.0 { 50.0 } else { 0.0 }, 0.0, length, width)
    };
    for margin in [5.0, 0.0] {
        for (turns, length) in bars {
            let shape = bar(turns, length, 2.0 * half + margin);
            if margin > 0.0 {
                brush.fill(&shape, walk);
            } else {
                brush.lay(&shape, &asphalt);
            }
        }
    }
    let zebra = brush.rng.chance(0.55);
    let mut busy = brush.rng.below(3);
    let mut cars = 0;
    for &turns in arms {
        let arm = frame.inner(0.0, 0.0, turns);
        let from = half + if zebra { 9.0 } else { 3.0 };
        brush.fill(&arm.line(&[(from, 0.0), (110.0, 0.0)], 0.9), rgb(226, 194, 88));
        for side in [-0.5, 0.5] {
            let line = [arm.to(from, side * half), arm.to(110.0, side * half)];
            brush.dashes(&line, 4.0, 4.0, 0.6, PAINT);
        }
        if zebra {
            let mut stripe = -half + 1.6;
            while stripe < half {
                brush.fill(&arm.rect(half + 4.2, stripe, 5.0, 1.5), PAINT);
                stripe += 3.2;
            }
        }
        for side in [-0.75, -0.25, 0.25, 0.75] {
            let count = [0, i32::from(brush.rng.chance(0.35)), brush.rng.int(2, 4)][busy];
            let heading = if side < 0.0 { 0.5 } else { 0.0 };
            cars += count;
            for place in 0..count {
                let x = half + 13.0 + place as f32 * 11.5 + brush.rng.range(0.0, 2.5);
                brush.car(&arm.inner(x, side * half, heading), 7.4);
            }
        }
    }
    busy = if cars == 0 { 0 } else { busy };
    let roads: Vec<Shape> = bars.iter().map(|&(turns, length)| bar(turns, length, 2.0 * half + 5.0)).collect();
    let taken = |p: P| roads.iter().any(|road| road.distance(p) < 4.5);
    match corners {
        0 => facts.put("corners", ["[lawn|grass]", "[草坪|草地]"]),
        1 => {
            super::grow(brush, Around::Trees, taken);
            facts.put("corners", ["[trees|green trees]", "[树木|绿树]"]);
        }
        _ => {
            let roof = brush.rng.pick(&[rgb(150, 88, 70), rgb(128, 124, 120), rgb(170, 150, 130)]);
            for plot in 0..36 {
                let (column, row) = ((plot % 6) as f32 - 2.5, (plot / 6) as f32 - 2.5);
                let mut beside =
                    |n: f32| n.signum() * (half + 12.0 + (n.abs() - 0.5) * 20.0 + brush.rng.range(-1.0, 1.0));
                let (x, y) = (beside(column), beside(row));
                brush.house(&frame.inner(x, y, 0.0), 15.0, 11.0, roof);
            }
            facts.put("corners", ["[houses|some houses]", "[房屋|房子]"]);
        }
    }
    note_cars(&mut facts, busy);
    if zebra {
        facts.put("zebra", ["[zebra crossings|crosswalks]", "[斑马线|人行横道]"]);
    }
    facts.put("a_shape", if tee { ["a T-shaped", ""] } else { ["a cross-shaped", ""] });
    facts.put("shape", if tee { ["T-shaped", "丁字"] } else { ["cross-shaped", "十字"] });
    facts.put(
        "roads",
        if tee {
            ["[three roads|three streets]", "三条[道路|马路]"]
        } else {
            ["[two roads|two streets]", "两条[道路|马路]"]
        },
    );
    facts
}

/// One to six parallel tracks, perhaps with a train.
pub(super) fn railway(brush: &mut Brush) -> Facts {
    let mut facts = Facts::default();
    let around = super::surround(brush, &mut facts);
    let frame = brush.centre(12.0);
    let bend = if brush.rng.chance(0.6) { 0.0 } else { brush.rng.range(0.3, 0.5) };
    let tracks = brush.rng.pick(&[1, 2, 4, 6]);
    let (pitch, gauge) = (13.0, 5.4);
    let stone = brush.rng.pick(&[rgb(134, 124, 116), rgb(118, 108, 102), rgb(148, 134, 122)]);
    let ballast = brush.texture(stone, stone.lit(1.1), 8.0, 0.42);
    let half = pitch * tracks as f32 / 2.0 + 2.0;
    let bed = Shape::Stroke { points: course(&frame, bend, 0.0), half };
    brush.lay(&bed, &ballast);
    let trained = brush.rng.chance(0.5).then(|| brush.rng.below(tracks));
    for track in 0..tracks {
        let shift = (track as f32 - (tracks - 1) as f32 / 2.0) * pitch;
        let middle = course(&frame, bend, shift);
        brush.dashes_across(&middle, 3.2, gauge * 1.7, rgb(72, 58, 50));
        for side in [-0.5, 0.5] {
            let rail = Shape::Stroke { points: course(&frame, bend, shift + side * gauge), half: 0.45 };
            brush.fill(&rail.moved(brush.sun * 0.5), rgb(50, 44, 42));
            brush.fill(&rail, rgb(206, 206, 210));
        }
        if trained == Some(track) {
            train(brush, &middle);
        }
    }
    super::grow(brush, around, |p| bed.distance(p) < 4.0);
    let (words, be) = match tracks {
        1 => (["[a railway|a railroad]", "一条[铁路|铁轨]"], ["goes", ""]),
        2 => (["[two railway tracks|two railroad tracks]", "两条[铁路|铁轨]"], ["go", ""]),
        4 => (["[four railway tracks|four railroad tracks]", "四条[铁路|铁轨]"], ["go", ""]),
        _ => (["[many railway tracks|many railroad tracks]", "[许多|多条][铁路|铁轨]"], ["go", ""]),
    };
    facts.put("tracks", words);
    facts.put("go", be);
    facts.put("is_are", if tracks == 1 { ["is", ""] } else { ["are", ""] });
    if tracks > 1 {
        facts.put("parallel", ["parallel", "平行"]);
    }
    facts.put("course", if bend == 0.0 { ["straight", "笔直"] } else { ["curved", "弯曲"] });
    if trained.is_some() {
        facts.put("train", ["[a train|a long train]", "一列[火车|列车]"]);
    }
    facts
}

/// Wagons along a track.
fn train(brush: &mut Brush, track: &[P]) {
    let colour = brush.rng.pick(&[rgb(178, 60, 50), rgb(60, 92, 140), rgb(196, 170, 70), rgb(224, 224, 220)]);
    let reach = (track[track.len() - 1] - track[0]).length();
    let mut place = brush.rng.range(0.22, 0.3);
    while place < 0.74 {
        let frame = along(track, place);
        let wagon = frame.rounded(0.0, 0.0, 21.0, 7.4, 1.0);
        brush.shadow(&wagon, 3.0);
        let roof = brush.near(colour, 0.03);
        brush.fill(&wagon, roof);
        brush.fill(&frame.rect(0.0, 0.0, 20.0, 2.2), roof.lit(1.2));
        place += 23.0 / reach;
    }
}

impl Brush<'_> {
    /// Short bars across a line every `spacing` units, `width` wide: sleepers.
    fn dashes_across(&mut self, line: &[P], spacing: f32, width: f32, colour: Rgb) {
        let mut next = 0.0;
        let mut travelled = 0.0;
        for pair in line.windows(2) {
            let span = pair[1] - pair[0];
            let length = span.length();
            let frame = Frame { origin: pair[0], axis: span * (1.0 / length) };
            while next < travelled + length {
                self.fill(&frame.rect(next - travelled, 0.0, 1.3, width), colour);
                next += spacing;
            }
            travelled += length;
        }
    }
}
