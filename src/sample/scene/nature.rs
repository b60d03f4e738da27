//! Fields, beaches, shrubland, forests and rivers.

use crate::sample::draw::{Brush, P, Rgb, SIDE, Shape, rgb, winding};
use crate::sample::facts::{Facts, Words};

/// Striped parcels, one or several, sometimes with tracks between them.
pub(super) fn agricultural(brush: &mut Brush) -> Facts {
    const CROPS: [(Rgb, Rgb, Words); 3] = [
        (rgb(96, 142, 62), rgb(66, 104, 48), ["green", "绿色"]),
        (rgb(204, 184, 104), rgb(170, 146, 76), ["yellow", "黄色"]),
        (rgb(150, 114, 82), rgb(116, 86, 62), ["brown", "[褐色|棕色]"]),
    ];
    let mut facts = Facts::default();
    let frame = brush.centre(8.0);
    let soil = brush.soil();
    brush.cover(&soil);
    let (columns, rows) = brush.rng.pick(&[(1, 1), (1, 1), (1, 1), (2, 1), (2, 2), (3, 1), (3, 2)]);
    let track = brush.rng.pick(&[0.0, 0.0, 4.5, 6.0]);
    let first = brush.rng.below(CROPS.len());
    let (width, height) = (190.0 / columns as f32, 190.0 / rows as f32);
    for cell in 0..columns * rows {
        let (row, column) = (cell / columns, cell % columns);
        let (bright, dark, words) = CROPS[(first + row + column) % CROPS.len()];
        let (bright, dark) = (brush.near(bright, 0.05), brush.near(dark, 0.05));
        let (x, y) = ((column as f32 + 0.5) * width - 95.0, (row as f32 + 0.5) * height - 95.0);
        let parcel = frame.rect(x, y, width - track, height - track);
        let (spacing, along) = (brush.rng.range(4.5, 9.0), brush.rng.chance(0.5));
        let (patches, wobble) = (brush.field(34.0), brush.field(20.0));
        brush.canvas.paint(&parcel, 1.0, 0.0, |p| {
            let local = frame.from(p);
            let line = if along { local.y } else { local.x } + wobble(p) * 1.5;
            let wave = ((line / spacing).rem_euclid(1.0) - 0.5).abs() * 2.0;
            bright.mix(dark, (wave * 2.4 - 0.7).clamp(0.0, 1.0)).lit(0.86 + 0.28 * patches(p))
        });
        if columns * rows == 1 {
            facts.put("colour", words);
        }
    }
    if columns * rows > 1 {
        facts.put("mixed", ["different colors", "[颜色不同|颜色各异]"]);
        if track > 0.0 {
            facts.put("track", ["[dirt roads|dirt tracks]", "土路"]);
        }
    }
    facts
}

/// Sea, foam, sand and perhaps plants, along a wavy shore.
pub(super) fn beach(brush: &mut Brush) -> Facts {
    const SEAS: [(Rgb, Words); 3] = [
        (rgb(40, 92, 150), ["blue", "[蓝色|湛蓝]"]),
        (rgb(52, 134, 122), ["green", "[绿色|碧绿]"]),
        (rgb(30, 52, 80), ["dark", "[深色|深暗]"]),
    ];
    const SANDS: [(Rgb, Words); 2] =
        [(rgb(226, 220, 204), ["white", "白色"]), (rgb(208, 180, 124), ["yellow", "黄色"])];
    let mut facts = Facts::default();
    let frame = brush.centre(10.0);
    let (sea, sea_words) = brush.rng.pick(&SEAS);
    let (sand, sand_words) = brush.rng.pick(&SANDS);
    let (sea, sand) = (brush.near(sea, 0.04), brush.near(sand, 0.03));
    let breakers = brush.rng.pick(&[1, 1, 3, 4]);
    let green = brush.rng.chance(0.45);
    let (shore, foam, ripple) = (brush.field(46.0), brush.field(9.0), brush.field(14.0));
    let (waters, leaves) = (brush.water(sea), brush.grass());
    let depth = |p: P| frame.from(p).y + (shore(p) - 0.5) * 26.0;
    brush.canvas.cover(|p| {
        let depth = depth(p) + (foam(p) - 0.5) * 3.0;
        if depth < 0.0 {
            let wet = ((depth + 9.0) / 9.0).clamp(0.0, 1.0);
            let dry = sand.lit(0.92 + 0.16 * ripple(p));
            let land = ((-depth - 40.0) / 2.0).clamp(0.0, 1.0) * f32::from(u8::from(green));
            return dry.mix(sand.lit(0.66), wet * wet).mix(leaves.at(p), land);
        }
        let shallow = (1.0 - depth / 26.0).clamp(0.0, 1.0);
        let water = waters.at(p).mix(rgb(150, 196, 190), shallow * 0.55);
        let bands = (0..breakers).map(|band| {
            let middle = 2.0 + 9.5 * band as f32 + (ripple(p) - 0.5) * 8.0;
            let broken = ((foam(p) - 0.3 + 0.2 * f32::from(u8::from(band == 0))) * 4.0).clamp(0.0, 1.0);
            (1.0 - (depth - middle).abs() / 2.2).clamp(0.0, 1.0) * broken
        });
        water.mix(rgb(244, 248, 248), bands.fold(0.0, f32::max))
    });
    if green {
        let places = brush.scatter(60, 4.0, |p| depth(p) > -46.0);
        brush.trees(&places, 2.4, 4.4);
        facts.put("plants", ["[green plants|green trees|some trees]", "[绿色植物|绿树|树木]"]);
    }
    if brush.rng.chance(0.35) {
        let places = brush.scatter(22, 5.0, |p| !(-34.0..-11.0).contains(&depth(p)));
        for place in places {
            let colour = brush.rng.pick(&[rgb(214, 60, 50), rgb(50, 110, 200), rgb(240, 200, 60)]);
            let cloth = Shape::Disc { centre: place, radius: 1.6 };
            brush.shadow(&cloth, 1.4);
            brush.fill(&cloth, colour);
            brush.fill(&Shape::Disc { centre: place, radius: 0.5 }, rgb(250, 250, 250));
        }
        facts.put("umbrellas", ["[some colorful umbrellas|some umbrellas]", "一些[彩色遮阳伞|遮阳伞]"]);
    }
    facts.put("sea", sea_words);
    facts.put("sand", sand_words);
    if breakers > 1 {
        facts.put("waves", ["[several rows of white waves|many white waves]", "[层层白色浪花|许多白色浪花]"]);
    } else {
        facts.put("calm", ["calm", "平静"]);
    }
    facts
}

/// Small shrubs scattered over dry ground.
pub(super) fn chaparral(brush: &mut Brush) -> Facts {
    const GROUNDS: [(Rgb, Rgb, Words); 3] = [
        (rgb(204, 180, 134), rgb(184, 158, 112), ["yellow", "黄色"]),
        (rgb(180, 174, 162), rgb(160, 154, 144), ["grey", "灰色"]),
        (rgb(190, 140, 108), rgb(168, 118, 90), ["reddish", "[红褐色|偏红]"]),
    ];
    let mut facts = Facts::default();
    let (base, patch, words) = brush.rng.pick(&GROUNDS);
    let ground = brush.texture(base, patch, 20.0, 0.2);
    brush.cover(&ground);
    let frame = brush.centre(24.0);
    let path = winding(&frame, 100.0, 8.0, brush.rng);
    let track = brush.rng.chance(0.3);
    if track {
        let lane = Shape::Stroke { points: path.clone(), half: 2.4 };
        brush.canvas.paint(&lane, 0.8, 2.0, |_| base.lit(1.16));
        facts.put("track", ["[a dirt path|a small path]", "[小路|土路]"]);
    }
    let dense = brush.rng.chance(0.5);
    let (count, apart) = if dense { (380, 4.2) } else { (75, 9.0) };
    let lane = Shape::Stroke { points: path, half: 4.0 };
    let places = brush.scatter(count, apart, |p| track && lane.distance(p) < 0.0);
    let leaf = brush.rng.pick(&[rgb(74, 84, 52), rgb(88, 92, 66), rgb(64, 78, 54)]);
    for place in places {
        let leaf = brush.near(leaf, 0.04);
        let bush = Shape::Disc { centre: place, radius: brush.rng.range(1.0, 2.5) };
        brush.shadow(&bush, 1.2);
        brush.canvas.paint(&bush, 0.95, 0.6, |_| leaf);
    }
    facts.put("ground", words);
    if dense {
        facts.put("dense", ["[lots of|many|a lot of]", "[许多|很多|大量]"]);
    } else {
        facts.put("sparse", ["[some|a few]", "[一些|少量]"]);
    }
    facts
}

/// Crowns that hide the ground, perhaps with a clearing or a path.
pub(super) fn forest(brush: &mut Brush) -> Facts {
    const LEAVES: [(Rgb, Words); 3] = [
        (rgb(42, 70, 42), ["dark green", "深绿色"]),
        (rgb(92, 126, 64), ["light green", "[浅绿色|嫩绿色]"]),
        (rgb(146, 122, 58), ["yellow", "黄色"]),
    ];
    let mut facts = Facts::default();
    let (leaf, words) = brush.rng.pick(&LEAVES);
    let floor = brush.texture(leaf.lit(0.42), leaf.lit(0.55), 14.0, 0.3);
    brush.cover(&floor);
    let frame = brush.centre(20.0);
    let line = winding(&frame, 100.0, 9.0, brush.rng);
    let opening = brush.rng.below(4);
    let (path, glade) = (Shape::Stroke { points: line, half: 2.6 }, frame.disc(0.0, 0.0, brush.rng.range(15.0, 22.0)));
    let grass = brush.grass();
    let soil = brush.soil();
    let open: Option<&Shape> = match opening {
        0 => {
            brush.lay(&path, &soil);
            facts.put("path", ["[a path|a narrow path]", "一条[小路|小径]"]);
            Some(&path)
        }
        1 => {
            brush.lay(&glade, &grass);
            facts.put("glade", ["[a clearing|an open space]", "一块[空地|林间空地]"]);
            Some(&glade)
        }
        _ => {
            facts.put("closed", ["[dense|thick]", "[茂密|浓密]"]);
            None
        }
    };
    let places = brush.scatter(420, 4.4, |p| open.is_some_and(|shape| shape.distance(p) < 1.5));
    for place in places {
        let radius = brush.rng.range(3.6, 6.6);
        let edge = open.map_or(radius, |shape| shape.distance(place).max(1.5));
        brush.tree(place, radius.min(edge + 1.0), leaf);
    }
    facts.put("leaf", words);
    facts
}

/// A winding band of water between two banks, perhaps under a bridge.
pub(super) fn river(brush: &mut Brush) -> Facts {
    const WATERS: [(Rgb, Words); 3] = [
        (rgb(46, 86, 128), ["blue", "[呈蓝色|是蓝色的]"]),
        (rgb(70, 102, 78), ["green", "[呈绿色|碧绿]"]),
        (rgb(132, 108, 78), ["muddy", "[浑浊|很混浊]"]),
    ];
    let mut facts = Facts::default();
    let around = super::surround(brush, &mut facts);
    let frame = brush.centre(10.0);
    let swing = brush.rng.pick(&[2.5, 2.5, 22.0, 28.0]);
    let line = winding(&frame, 110.0, swing, brush.rng);
    let half = brush.rng.pick(&[8.0, 10.0, 17.0]);
    let (colour, words) = brush.rng.pick(&WATERS);
    let water = brush.water(colour);
    let bank = brush.near(rgb(188, 172, 136), 0.03);
    let band = |half: f32| Shape::Stroke { points: line.clone(), half };
    let (wide, stream) = (band(half + 2.0), band(half));
    brush.canvas.paint(&wide, 0.9, 1.0, |_| bank);
    brush.lay(&stream, &water);
    super::grow(brush, around, |p| wide.distance(p) < 2.0);
    if brush.rng.chance(0.3) {
        let middle = line[20];
        let span = line[22] - line[18];
        let over = span.across() * (1.0 / span.length());
        let deck: Vec<P> = [-1.0, 1.0].iter().map(|&side| middle + over * (side * SIDE * 1.2)).collect();
        let road = Shape::Stroke { points: deck.clone(), half: 3.2 };
        brush.shadow(&road, 2.5);
        brush.road(&deck, 5.6, Some(rgb(236, 232, 214)));
        facts.put("bridge", ["[a bridge|a narrow bridge]", "一座[桥|小桥|桥梁]"]);
    }
    facts.put("water", words);
    if swing > 10.0 {
        facts.put("course", ["[winding|curved]", "[弯曲|蜿蜒]"]);
    } else {
        facts.put("course", ["straight", "[笔直|平直]"]);
    }
    facts.put("width", if half > 12.0 { ["wide", "宽阔"] } else { ["narrow", "[狭窄|细窄]"] });
    facts
}
