//! Parked vehicles: airplanes on an apron, cars in a parking lot.

use crate::sample::draw::{Brush, Frame, Rgb, Shape, rgb};
use crate::sample::facts::{Facts, Words};

/// One to six airplanes on concrete.
pub(super) fn airplane(brush: &mut Brush) -> Facts {
    const KINDS: [(Words, Words); 5] = [
        (["[an airplane|a plane|one plane]", "一架飞机"], ["is", ""]),
        (["[two airplanes|two planes]", "两架飞机"], ["are", ""]),
        (["[three airplanes|three planes]", "三架飞机"], ["are", ""]),
        (["[four airplanes|four planes]", "四架飞机"], ["are", ""]),
        (["[many airplanes|many planes|lots of planes]", "[许多|很多]飞机"], ["are", ""]),
    ];
    let mut facts = Facts::default();
    let apron = brush.concrete();
    brush.cover(&apron);
    let frame = brush.centre(6.0);
    let joint = apron.base.lit(0.86);
    for line in -6..=6 {
        let place = line as f32 * 17.0;
        brush.fill(&frame.line(&[(-110.0, place), (110.0, place)], 0.5), joint);
        brush.fill(&frame.line(&[(place, -110.0), (place, 110.0)], 0.5), joint);
    }
    if brush.rng.chance(0.4) {
        let grass = brush.grass();
        brush.lay(&frame.rect(0.0, 110.0, 240.0, 120.0), &grass);
        facts.put("lawn", ["[a lawn|a piece of grass]", "[草坪|草地]"]);
    }
    if brush.rng.chance(0.4) {
        terminal(brush, &frame.inner(0.0, -64.0, 0.0));
        facts.put("terminal", ["[a terminal|a terminal building]", "[航站楼|候机楼]"]);
    }
    brush.fill(&frame.line(&[(-110.0, 36.0), (110.0, 36.0)], 1.0), rgb(216, 178, 66));
    let kind = brush.rng.below(KINDS.len());
    let (count, length) = [(1, 66.0), (2, 45.0), (3, 34.0), (4, 26.5), (6, 32.0)][kind];
    let length = length * brush.rng.range(0.92, 1.08);
    let colour = brush.rng.pick(&[rgb(246, 246, 244), rgb(236, 238, 242)]);
    let fin = brush.rng.pick(&[rgb(40, 70, 140), rgb(180, 40, 40), rgb(60, 60, 64), rgb(230, 150, 40)]);
    let lean = brush.rng.range(-0.06, 0.06);
    for plane in 0..count {
        let columns = if count == 6 { 3 } else { count };
        let x = ((plane % columns) as f32 - (columns - 1) as f32 / 2.0) * length * 1.08;
        let y = if count == 6 { ((plane / columns) as f32 - 0.5) * length * 1.3 } else { 0.0 };
        let place = frame.inner(x, y + brush.rng.range(-1.5, 1.5), -0.25 + lean + brush.rng.range(-0.012, 0.012));
        draw_plane(brush, &place, length, colour, fin);
    }
    let (words, be) = KINDS[kind];
    facts.put("planes", words);
    facts.put("be", be);
    if count > 1 {
        facts.put("neat", ["neatly", "整齐"]);
    } else {
        facts.put("alone", ["[big|large]", "大型"]);
    }
    facts
}

/// A long flat building with bridges towards the apron.
fn terminal(brush: &mut Brush, frame: &Frame) {
    let roof = brush.near(rgb(212, 206, 196), 0.05);
    for bridge in [-40.0, 0.0, 40.0] {
        let walk = frame.rect(bridge, 20.0, 4.0, 14.0);
        brush.shadow(&walk, 2.0);
        brush.fill(&walk, roof.lit(0.84));
    }
    let hall = frame.rect(0.0, 0.0, 220.0, 28.0);
    brush.shadow(&hall, 4.0);
    brush.fill(&hall, roof);
    brush.fill(&frame.rect(0.0, 10.0, 220.0, 2.0), rgb(96, 118, 140));
    for unit in -5..=5 {
        brush.fill(&frame.rect(unit as f32 * 19.0, -3.0, 7.0, 5.0), roof.lit(0.72));
    }
}

/// An airliner, its nose along the frame's x.
fn draw_plane(brush: &mut Brush, frame: &Frame, length: f32, colour: Rgb, fin: Rgb) {
    let at = |points: &[(f32, f32)], side: f32| -> Shape {
        let points: Vec<(f32, f32)> = points.iter().map(|&(x, y)| (x * length, y * length * side)).collect();
        frame.polygon(&points)
    };
    let mut parts = Vec::new();
    for side in [-1.0, 1.0] {
        parts.push(at(&[(0.12, 0.03), (-0.12, 0.47), (-0.2, 0.48), (-0.11, 0.03)], side));
        parts.push(at(&[(-0.34, 0.02), (-0.46, 0.17), (-0.52, 0.175), (-0.46, 0.02)], side));
        parts.push(frame.rounded(0.03 * length, side * 0.17 * length, 0.12 * length, 0.05 * length, 0.02 * length));
    }
    let hull = frame.line(&[(-0.44 * length, 0.0), (0.45 * length, 0.0)], 0.105 * length);
    for part in parts.iter().chain([&hull]) {
        brush.shadow(part, 0.07 * length);
    }
    for (index, part) in parts.iter().enumerate() {
        brush.fill(part, if index % 3 == 2 { colour.lit(0.66) } else { colour.lit(0.9) });
    }
    brush.fill(&hull, colour.lit(0.86));
    brush.fill(&frame.line(&[(-0.4 * length, 0.0), (0.44 * length, 0.0)], 0.055 * length), colour.lit(1.04));
    brush.fill(&frame.line(&[(-0.49 * length, 0.0), (-0.36 * length, 0.0)], 0.03 * length), fin);
    brush.fill(&frame.rect(0.46 * length, 0.0, 0.02 * length, 0.05 * length), rgb(50, 60, 74));
}

/// Rows of stalls, full or half empty.
pub(super) fn parking(brush: &mut Brush) -> Facts {
    let mut facts = Facts::default();
    let asphalt = brush.asphalt();
    brush.cover(&asphalt);
    let frame = brush.centre(6.0);
    let full = brush.rng.chance(0.5);
    let share = if full { brush.rng.range(0.92, 1.0) } else { brush.rng.range(0.2, 0.4) };
    let islands = brush.rng.chance(0.4);
    let (stall, depth) = (6.2, 11.5);
    let pitch = 2.0 * depth + brush.rng.range(9.0, 13.0);
    for row in -3..=3 {
        let y = row as f32 * pitch;
        brush.fill(&frame.line(&[(-100.0, y), (100.0, y)], 0.6), rgb(236, 236, 230));
        for place in -16i32..=16 {
            let x = place as f32 * stall;
            brush.fill(&frame.line(&[(x, y - depth), (x, y + depth)], 0.5), rgb(232, 232, 226));
            let planted = islands && place.rem_euclid(8) == 3;
            for side in [-1.0, 1.0] {
                let centre =
                    frame.inner(x + stall / 2.0, y + side * depth * 0.52, if side < 0.0 { 0.25 } else { 0.75 });
                if planted {
                    let green = brush.grass();
                    brush.lay(&centre.rect(0.0, 0.0, depth, stall), &green);
                } else if brush.rng.chance(share) {
                    let jitter = brush.rng.range(-0.6, 0.6);
                    brush.car(&centre.inner(jitter, jitter * 0.5, 0.0), 9.6);
                }
            }
        }
        if islands {
            for place in (-16..=16).filter(|place: &i32| place.rem_euclid(8) == 3) {
                let spots = [-0.5, 0.5].map(|side| frame.to((place as f32 + 0.5) * stall, y + side * depth));
                brush.trees(&spots, 3.4, 4.6);
            }
        }
    }
    if full {
        facts.put("full", ["[lots of|many|a lot of]", "[许多|很多|大量]"]);
    } else {
        facts.put("free", ["[some|a few|several]", "[一些|少量|几辆]"]);
    }
    if islands {
        facts.put("trees", ["[some trees|green trees]", "[一些树木|一些绿树]"]);
    }
    facts
}
