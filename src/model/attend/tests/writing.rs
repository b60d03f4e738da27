//! Free-running decoding.

use std::collections::BTreeSet;

use super::*;
use crate::model::adamw::{AdamW, AdamWConfig, Clip};
use crate::model::ops::Dropout;
use crate::model::search::{DecodeConfig, Hypothesis, Method, search};

fn write(decoder: &Decoder, maps: &Tensor, method: Method, n: usize, max: usize) -> Vec<Vec<Hypothesis>> {
    let config = DecodeConfig { method, n, width: n.max(3), ..DecodeConfig::default() };
    let ids: Vec<u32> = (0..maps.dim(0).unwrap() as u32).collect();
    search(&decoder.writer(START).unwrap(), maps, &ids, &config, max, &BTreeSet::from([END])).unwrap()
}

#[test]
fn the_batch_changes_nothing_and_sums_are_those_of_given_captions() {
    let decoder = small();
    for (method, n) in [(Method::Greedy, 1), (Method::Beam, 3), (Method::BeamSetAside, 3)] {
        let together = write(&decoder, &features(), method, n, 8);
        for (image, row) in together.iter().enumerate() {
            let own = features().narrow(0, image, 1).unwrap();
            assert_eq!(write(&decoder, &own, method, n, 8)[0], *row, "{method:?}, image {image}");
            assert_eq!(row.len(), n);
            for found in row {
                let ids = [&[START], &found.ids[..]].concat();
                let loss = decoder.loss(&features(), &[Caption { image, ids: &ids }], 0.0, None).unwrap();
                let sum = -loss.cross_entropy * loss.targets as f64;
                assert!((sum - found.log_prob).abs() < 1e-5, "{method:?}: {sum} {}", found.log_prob);
            }
        }
        let first = |row: &[Hypothesis]| row[0].ids.clone();
        assert!(together.iter().any(|row| first(row) != first(&together[0])), "{method:?}: all images are alike");
    }
}

#[test]
fn attention_is_given_for_every_word() {
    let (decoder, maps) = (small(), features());
    let writer = decoder.writer(START).unwrap();
    let ids = [vec![3, END], vec![], vec![0, 1, 2, 2, 5], vec![3, END]];
    let captions: Vec<Caption> = ids.iter().zip([2, 0, 1, 0]).map(|(ids, image)| Caption { image, ids }).collect();
    let weights = writer.attention(&maps, &captions).unwrap();
    for (caption, weights) in captions.iter().zip(&weights) {
        assert_eq!(weights.len(), 3 * caption.ids.len());
        assert!(weights.chunks(3).all(|word| (word.iter().sum::<f32>() - 1.0).abs() < 1e-6));
        assert_eq!(bits(&writer.attention(&maps, &[*caption]).unwrap()[0]), bits(weights));
    }
    assert!(weights[0] != weights[3], "another image");
    // The first word's by the formula, in f64.
    let get = |name: &str| -> Vec<f64> { flat(decoder.variable(name).unwrap()).into_iter().map(f64::from).collect() };
    let linear = |name: &str, x: &[f64]| -> Vec<f64> {
        let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
        let row = |(row, bias): (&[f64], &f64)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias;
        weight.chunks(x.len()).zip(&bias).map(row).collect()
    };
    let cells: Vec<f64> = flat(&maps)[2 * 15..3 * 15].iter().map(|x| f64::from(*x)).collect();
    let mean: Vec<f64> = (0..5).map(|i| (0..3).map(|cell| cells[cell * 5 + i]).sum::<f64>() / 3.0).collect();
    let state = linear("attention.decoder_att", &linear("init_h", &mean));
    let score = |cell: &[f64]| {
        let both = linear("attention.encoder_att", cell).into_iter().zip(&state);
        linear("attention.full_att", &both.map(|(a, b)| (a + b).max(0.0)).collect::<Vec<_>>())[0].exp()
    };
    let scores: Vec<f64> = cells.chunks(5).map(score).collect();
    for (weight, score) in weights[0].iter().zip(&scores) {
        assert!((f64::from(*weight) - score / scores.iter().sum::<f64>()).abs() < 1e-6);
    }
}

#[test]
fn writers_refuse_words_and_rows_that_do_not_exist() {
    use crate::model::search::Decoder as _;
    let decoder = small();
    assert!(decoder.writer(9).is_err());
    let writer = decoder.writer(START).unwrap();
    let (mut state, _) = writer.start(&features()).unwrap();
    assert!(writer.step(&mut state, &[0, 0, 0, 9]).is_err());
    assert!(writer.step(&mut state, &[0]).is_err());
    assert!(writer.select(&mut state, &[4]).is_err());
    assert!(writer.attention(&features(), &[Caption { image: 4, ids: &[0] }]).is_err());
}

/// A picture of 4 cells, some of which have one of 3 colours: where they are and which they have is all that features say.
fn picture(colours: [Option<usize>; 4]) -> Vec<f32> {
    let cell = |(place, colour): (usize, &Option<usize>)| {
        let mut cell = [0.0; 8];
        cell[place] = 1.0;
        if let Some(colour) = colour {
            cell[4 + colour] = 1.0;
        }
        cell
    };
    colours.iter().enumerate().flat_map(cell).collect()
}

/// Captions of different lengths, the colours of the coloured cells in order, are learnt and written without help, twice alike.
#[test]
fn a_small_task_is_learnt() {
    let pictures = [
        [Some(0), None, None, Some(1)],
        [None, Some(2), None, None],
        [Some(1), Some(1), Some(0), Some(2)],
        [None, None, Some(0), Some(0)],
        [Some(2), None, Some(1), Some(0)],
        [None, None, None, None],
    ];
    let maps = tensor(pictures.into_iter().flat_map(picture).collect(), (6, 4, 8)).unwrap();
    let captions: Vec<(usize, Vec<u32>)> = pictures
        .iter()
        .map(|colours| [START].into_iter().chain(colours.iter().flatten().map(|c| *c as u32)).chain([END]).collect())
        .enumerate()
        .collect();
    let config = AttendConfig { encoder_dim: 8, attention_dim: 16, embed_dim: 8, decoder_dim: 24, vocab_size: VOCAB };
    let learn = || {
        let decoder = Decoder::init(&config, 7).unwrap();
        let adam = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
        let mut adam = AdamW::new(decoder.parameters(), adam);
        for step in 0..150 {
            let dropout = Some(Dropout { p: 0.2, seed: 7, step });
            let loss = decoder.loss(&maps, &view(&captions), 1.0, dropout).unwrap();
            adam.step(&ops::backward(&loss.total).unwrap(), 0.01, Clip::Value(5.0)).unwrap();
        }
        decoder
    };
    let decoder = learn();
    let right = |method| {
        let found = write(&decoder, &maps, method, 1, 8);
        captions.iter().zip(found).filter(|(wanted, found)| wanted.1[1..] == found[0].ids).count()
    };
    for method in [Method::Greedy, Method::Beam, Method::BeamSetAside] {
        assert_eq!(right(method), captions.len(), "{method:?}");
    }
    assert_eq!(learn().save().unwrap(), decoder.save().unwrap());
}
