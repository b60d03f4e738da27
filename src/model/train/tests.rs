use candle_core::{Device, Tensor};
use serde_json::Value;

use super::*;
use crate::model::adamw::Warmup;
use crate::model::checkpoint::read_weights;
use crate::model::gpt2::Gpt2Config;
use crate::model::init::Init;
use crate::model::mapper::{AmhtInit, MapperKind};
use crate::model::ops::values;
use crate::model::{Bundle, Content, weights};
use crate::progress::testing::{Kept, Patience};
use crate::progress::{Forget, Silent};
use crate::shared;

const KINDS: [(&str, MapperKind); 3] =
    [("mlp", MapperKind::Mlp), ("transformer", MapperKind::Transformer), ("amht", MapperKind::Amht)];

/// The tolerances that the golden data ask for: losses, gradient norms (relative), final weights, prefixes of the trained mapper.
const LOSS: f64 = 1e-4;
const NORM: f64 = 1e-4;
const WEIGHT: f32 = 5e-6;
const PREFIX: f32 = 1e-4;

fn small_gpt2() -> Gpt2 {
    let config =
        Gpt2Config { n_embd: 16, n_head: 2, n_layer: 2, n_positions: 24, vocab_size: 31, ..Gpt2Config::default() };
    Gpt2::init(config, 3).unwrap()
}

fn small_mapper(kind: MapperKind) -> MapperConfig {
    MapperConfig {
        kind,
        clip_dim: 6,
        prefix_length: 3,
        clip_length: 2,
        width: 16,
        layers: 2,
        heads: 2,
        init: AmhtInit::Identity,
        normalize: false,
    }
}

/// Seven images with three captions each, of one to seven tokens and the end, 30; the last two images are for validation.
fn small_data() -> TrainData {
    let vectors = values(&Init::Normal(1.0).tensor(5, "vectors", (7, 6)).unwrap()).unwrap().to_vec();
    let caption = |i: u32| {
        let ids = (0..=i % 7).map(|at| (i / 3 * 5 + at * 3) % 30).chain([30]).collect();
        (i / 3, ids)
    };
    TrainData {
        vectors,
        dim: 6,
        train: (0..15).map(caption).collect(),
        val: (15..21).map(caption).collect(),
        bos: None,
    }
}

fn small_config() -> TrainConfig {
    TrainConfig { epochs: 3, batch_size: 4, lr: 1e-2, warmup: Warmup::Fraction(0.1), seed: 1, ..TrainConfig::default() }
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (a.contiguous().unwrap(), b.contiguous().unwrap());
    values(&a).unwrap().iter().zip(values(&b).unwrap().iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn trajectories_are_those_of_pytorch() {
    let Some(golden) = shared::path("golden/models/train") else { return };
    let Some(tiny) = shared::path("golden/models/gpt2_tiny") else { return };
    let read = |file: &str| weights::parse(&std::fs::read(golden.join(file)).unwrap()).unwrap();
    let expected: Value = serde_json::from_slice(&std::fs::read(golden.join("expected.json")).unwrap()).unwrap();
    let files = ["config.json", "model.safetensors"].map(|f| (f.to_owned(), Content::File(tiny.join(f))));
    let gpt2 = Gpt2::load(&Bundle { files: files.into(), name: "gpt2_tiny".to_owned() }).unwrap();
    let stored = read("data.safetensors");
    let column = |name: &str| {
        stored[name].flatten_all().unwrap().to_dtype(candle_core::DType::I64).unwrap().to_vec1::<i64>().unwrap()
    };
    let (tokens, lengths) = (column("tokens"), column("lengths"));
    let longest = tokens.len() / lengths.len();
    let caption = |row: usize| {
        let ids = tokens[row * longest..][..lengths[row] as usize].iter().map(|&id| id as u32);
        (row as u32, ids.chain([599]).collect())
    };
    let data = TrainData {
        vectors: values(&stored["clip"]).unwrap().to_vec(),
        dim: 48,
        train: (0..lengths.len()).map(caption).collect(),
        ..TrainData::default()
    };
    let finals = read("final_prefixes.safetensors");
    for ((kind_name, kind), variant) in KINDS.into_iter().flat_map(|kind| [(kind, "eos"), (kind, "original")]) {
        let name = format!("{kind_name}.{variant}");
        let shape = MapperConfig {
            kind,
            clip_dim: 48,
            prefix_length: 5,
            clip_length: 5,
            width: 64,
            layers: 2,
            heads: 4,
            ..small_mapper(kind)
        };
        let mapper = Mapper::from_tensors(&shape, read(&format!("{kind_name}_init.safetensors"))).unwrap();
        let config = TrainConfig {
            lr: 1e-3,
            warmup: Warmup::Steps(5),
            compat_ignore_zero: variant == "original",
            ..TrainConfig::default()
        };
        let mut trainer = Trainer::new(&config, mapper, &gpt2, &data, 20).unwrap();
        let wanted = &expected["mappers"][kind_name][variant];
        for (batch, step) in expected["batches"].as_array().unwrap().iter().zip(wanted["steps"].as_array().unwrap()) {
            let rows = batch.as_array().unwrap().iter().map(|row| row.as_u64().unwrap() as usize);
            let examples: Vec<&Example> = rows.map(|row| &data.train[row]).collect();
            let (loss, targets, grads) = trainer.gradients(&examples).unwrap();
            let norm = trainer.norm(&grads).unwrap();
            let lr = trainer.apply(&grads).unwrap();
            let get = |field: &str| step[field].as_f64().unwrap();
            assert_eq!(targets as f64, get("targets"), "{name} step {}", step["step"]);
            shared::parity(&format!("training loss {name}"), (loss - get("loss")).abs(), LOSS);
            shared::parity(&format!("training gradient norm {name}"), (norm / get("grad_norm") - 1.0).abs(), NORM);
            assert!((lr - get("lr")).abs() < 1e-12, "{name} step {}: rate {lr}", step["step"]);
        }
        if variant == "eos" {
            for (tensor, wanted) in read(&format!("{kind_name}_final_eos.safetensors")) {
                let parameters = trainer.mapper().parameters();
                let (_, got) = parameters.iter().find(|(name, _)| *name == tensor).unwrap();
                let off = largest_difference(got, &wanted);
                shared::parity(&format!("trained weights {name}"), off.into(), WEIGHT.into());
            }
        }
        let first = stored["clip"].narrow(0, 0, 4).unwrap();
        let off = largest_difference(&trainer.mapper().prefixes(&first).unwrap(), &finals[&name]);
        shared::parity(&format!("trained prefixes {name}"), off.into(), PREFIX.into());
    }
}

/// The step of central differences, and how far a gradient may be from them relative to the tensor's largest.
const STEP: f32 = 2e-3;
const CLOSE: f32 = 2e-2;

#[test]
fn gradients_agree_with_central_differences() {
    let gpt2 = small_gpt2();
    let mut data = small_data();
    for (name, kind) in KINDS {
        for (bos, finetune, dropout) in [(None, false, 0.0), (Some(29), true, 0.0), (None, true, 0.3)] {
            data.bos = bos;
            let config = TrainConfig { finetune, dropout, ..small_config() };
            let mut trainer =
                Trainer::new(&config, Mapper::init(&small_mapper(kind), 1).unwrap(), &gpt2, &data, 1).unwrap();
            let examples: Vec<&Example> = data.train[..4].iter().collect();
            let (_, _, grads) = trainer.gradients(&examples).unwrap();
            let mut variables = trainer.mapper().parameters();
            if finetune {
                variables.extend(gpt2.parameters());
            }
            for (tensor, var) in variables {
                let grad =
                    values(grads.get(&var).unwrap_or_else(|| panic!("{name} {tensor}: no gradient"))).unwrap().to_vec();
                let before = values(&var).unwrap().to_vec();
                let set = |i: usize, by: f32| {
                    let mut moved = before.clone();
                    moved[i] += by;
                    var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
                    // The masks of one step stay the same.
                    if dropout > 0.0 {
                        trainer.gradients(&examples).unwrap().0
                    } else {
                        trainer.evaluate(&examples).unwrap().0
                    }
                };
                let largest = grad.iter().fold(0.02_f32, |a, g| a.max(g.abs()));
                // A few elements of every tensor, spread over it.
                for i in (0..grad.len()).step_by(grad.len() / 4 + 1) {
                    let slope = ((set(i, STEP) - set(i, -STEP)) / f64::from(2.0 * STEP)) as f32;
                    assert!(
                        (grad[i] - slope).abs() < CLOSE * largest,
                        "{name} {tensor} {i}: {} against {slope}",
                        grad[i]
                    );
                }
                set(0, 0.0);
            }
            trainer.step(&examples).unwrap();
        }
    }
}

#[test]
fn a_frozen_language_model_stays_and_a_trained_one_does_not() {
    let data = small_data();
    for finetune in [false, true] {
        let gpt2 = small_gpt2();
        let before = gpt2.save().unwrap();
        let config = TrainConfig { finetune, ..small_config() };
        let trained = train(&config, &small_mapper(MapperKind::Amht), &gpt2, &data, &mut Forget, &Silent).unwrap();
        assert_eq!(gpt2.save().unwrap() == before, !finetune);
        let read = read_weights(&trained.weights.clone().into()).unwrap();
        assert_eq!(read.mapper.config(), &small_mapper(MapperKind::Amht));
        assert_eq!(read.gpt2.is_some(), finetune);
        if let Some(weights) = read.gpt2 {
            Gpt2::from_tensors(gpt2.config().clone(), weights).unwrap();
        }
    }
}

#[test]
fn training_learns_and_keeps_the_best_epoch() {
    let (gpt2, data) = (small_gpt2(), small_data());
    let config = TrainConfig { epochs: 30, lr: 3e-2, ..small_config() };
    let trained = train(&config, &small_mapper(MapperKind::Mlp), &gpt2, &data, &mut Forget, &Silent).unwrap();
    let history = &trained.history;
    assert_eq!(history.len(), 30);
    assert!(history[29].train_loss < history[0].train_loss - 0.05, "{history:?}");
    let best = history.iter().filter_map(|row| row.val_loss).fold(f64::INFINITY, f64::min);
    let last_best = history.iter().rfind(|row| row.best).unwrap();
    assert_eq!(last_best.val_loss, Some(best));
    // The weights are those of that epoch: they have its validation loss.
    let mapper = read_weights(&trained.weights.clone().into()).unwrap().mapper;
    let trainer = Trainer::new(&config, mapper, &gpt2, &data, 1).unwrap();
    assert_eq!(validate(&config, &trainer, &Silent).unwrap(), best);
    // Without validation captions, the last epoch is kept.
    let alone = TrainData { val: Vec::new(), ..small_data() };
    let trained = train(&small_config(), &small_mapper(MapperKind::Mlp), &gpt2, &alone, &mut Forget, &Silent).unwrap();
    assert!(trained.history.iter().all(|row| row.best && row.val_loss.is_none()));
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bytes() {
    let (data, mapper) = (small_data(), small_mapper(MapperKind::Amht));
    for (finetune, dropout) in [(false, 0.0), (true, 0.0), (true, 0.2)] {
        let config = TrainConfig { finetune, dropout, ..small_config() };
        let whole = train(&config, &mapper, &small_gpt2(), &data, &mut Forget, &Silent).unwrap();
        let mut kept = Kept::default();
        // Four batches an epoch: stopped inside the first, the second and the third.
        for batches in [2, 7, 6] {
            let stopped = train(&config, &mapper, &small_gpt2(), &data, &mut kept, &Patience::of(batches));
            assert!(stopped.unwrap_err().is::<Interrupted>());
        }
        let resumed = train(&config, &mapper, &small_gpt2(), &data, &mut kept, &Silent).unwrap();
        assert!(resumed == whole, "finetune {finetune}, dropout {dropout}");
        // The state of other settings is not used.
        let other = TrainConfig { seed: 2, ..config };
        let fresh = train(&other, &mapper, &small_gpt2(), &data, &mut Forget, &Silent).unwrap();
        assert!(train(&other, &mapper, &small_gpt2(), &data, &mut kept, &Silent).unwrap() == fresh);
        kept.0.as_mut().unwrap().truncate(100);
        assert!(train(&other, &mapper, &small_gpt2(), &data, &mut kept, &Silent).is_err());
    }
}

#[test]
fn thread_counts_change_no_bit() {
    for config in [small_config(), TrainConfig { finetune: true, dropout: 0.2, ..small_config() }] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                train(&config, &small_mapper(MapperKind::Amht), &small_gpt2(), &small_data(), &mut Forget, &Silent)
                    .unwrap()
            })
        };
        assert!(run(1) == run(3));
    }
}

#[test]
fn dropout_acts_in_training_alone_and_anew_at_every_step() {
    let (gpt2, data) = (small_gpt2(), small_data());
    let examples: Vec<&Example> = data.train[..4].iter().collect();
    // A learning rate of 0: the weights stay while the steps are counted.
    let run = |dropout: f64| {
        let config = TrainConfig { finetune: true, dropout, lr: 0.0, ..small_config() };
        let mapper = Mapper::init(&small_mapper(MapperKind::Transformer), 1).unwrap();
        let mut trainer = Trainer::new(&config, mapper, &gpt2, &data, 9).unwrap();
        let steps: Vec<f64> = (0..3).map(|_| trainer.step(&examples).unwrap().loss).collect();
        (steps, trainer.evaluate(&examples).unwrap())
    };
    let ((plain, evaluated), (dropped, unchanged)) = (run(0.0), run(0.3));
    assert!(plain.iter().all(|loss| *loss == evaluated.0), "{plain:?} {evaluated:?}");
    assert_eq!(evaluated, unchanged);
    let mut losses = [&plain[..1], &dropped].concat();
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    assert_eq!(losses.len(), 4, "{losses:?}");
    assert_eq!(run(0.3).0, dropped);
}

#[test]
fn settings_without_dropout_are_written_as_before_there_was_any() {
    let json = |config: &TrainConfig| serde_json::to_string(config).unwrap();
    let plain = json(&TrainConfig { finetune: true, ..TrainConfig::default() });
    // Origin: what the version before wrote; keys and saved states hang on it.
    let before = r#"{"epochs":10,"batch_size":12,"lr":0.00002,"betas":[0.9,0.999],"eps":1e-8,"weight_decay":0.01,"warmup":{"fraction":0.1},"seed":0,"drop_last":false,"finetune":true,"compat_ignore_zero":false}"#;
    assert_eq!(plain, before);
    assert_eq!(serde_json::from_str::<TrainConfig>(&plain).unwrap().dropout, 0.0);
    let dropped = TrainConfig { finetune: true, dropout: 0.1, ..TrainConfig::default() };
    assert_eq!(serde_json::from_str::<TrainConfig>(&json(&dropped)).unwrap(), dropped);
}

#[test]
fn batches_are_what_the_settings_say() {
    let config = |batch_size, drop_last| TrainConfig { batch_size, drop_last, ..TrainConfig::default() };
    for (captions, size, drop, batches) in
        [(15, 4, false, 4), (15, 4, true, 3), (3, 4, true, 1), (8, 4, true, 2), (8, 4, false, 2)]
    {
        assert_eq!(batches_per_epoch(&config(size, drop), captions), batches, "{captions} {size} {drop}");
    }
    assert_eq!(order(1, 2, 50), order(1, 2, 50));
    assert!(order(1, 2, 50) != order(1, 3, 50) && order(1, 2, 50) != order(2, 2, 50));
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let (gpt2, mapper) = (small_gpt2(), small_mapper(MapperKind::Mlp));
    let run = |config: TrainConfig, data: TrainData| {
        train(&config, &mapper, &gpt2, &data, &mut Forget, &Silent).unwrap_err().to_string()
    };
    let with = |ids: Vec<u32>| TrainData { train: vec![(0, ids)], ..small_data() };
    let rows = [
        (run(small_config(), TrainData { train: Vec::new(), ..small_data() }), "no captions"),
        (run(small_config(), with(vec![1; 23])), "25 positions"),
        (run(small_config(), with(vec![31, 30])), "token 31"),
        (run(small_config(), TrainData { dim: 7, ..small_data() }), "vectors of 6"),
        (run(TrainConfig { lr: 1e30, ..small_config() }, small_data()), "lower learning rate"),
        (run(TrainConfig { batch_size: 0, ..small_config() }, small_data()), "batch"),
        (run(TrainConfig { dropout: 0.1, ..small_config() }, small_data()), "for fine-tuning"),
        (run(TrainConfig { dropout: 1.0, finetune: true, ..small_config() }, small_data()), "below 1"),
        (run(TrainConfig { dropout: f64::NAN, ..small_config() }, small_data()), "below 1"),
        (run(TrainConfig { lr: f64::NAN, ..small_config() }, small_data()), "learning rate"),
    ];
    for (message, part) in rows {
        assert!(message.contains(part), "{message}");
    }
}
