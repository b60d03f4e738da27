//! First values, and weights from and to files.

use super::*;

#[test]
fn equal_seeds_give_equal_weights_within_their_bounds() {
    let config = AttendConfig { vocab_size: 50, ..AttendConfig::new(100, 0) };
    let save = |seed| Decoder::init(&config, seed).unwrap().save().unwrap();
    assert_eq!(save(1), save(1));
    assert_ne!(save(1), save(2));
    // PyTorch: 1 / sqrt(inputs), for a recurrent cell 1 / sqrt(state); the tutorial: 0.1 and 0.
    let (cell, state) = (0.1, 1.0 / 512.0_f32.sqrt());
    let rows = [
        ("attention.decoder_att.bias", vec![512], state),
        ("attention.decoder_att.weight", vec![512, 512], state),
        ("attention.encoder_att.bias", vec![512], cell),
        ("attention.encoder_att.weight", vec![512, 100], cell),
        ("attention.full_att.bias", vec![1], state),
        ("attention.full_att.weight", vec![1, 512], state),
        ("decode_step.bias_hh", vec![2048], state),
        ("decode_step.bias_ih", vec![2048], state),
        ("decode_step.weight_hh", vec![2048, 512], state),
        ("decode_step.weight_ih", vec![2048, 612], state),
        ("embedding.weight", vec![50, 512], 0.1),
        ("f_beta.bias", vec![100], state),
        ("f_beta.weight", vec![100, 512], state),
        ("fc.bias", vec![50], 0.0),
        ("fc.weight", vec![50, 512], 0.1),
        ("init_c.bias", vec![512], cell),
        ("init_c.weight", vec![512, 100], cell),
        ("init_h.bias", vec![512], cell),
        ("init_h.weight", vec![512, 100], cell),
    ];
    let parameters = Decoder::init(&config, 1).unwrap().parameters();
    assert_eq!(parameters.len(), rows.len());
    for ((name, var), (wanted, shape, bound)) in parameters.iter().zip(rows) {
        assert_eq!((name.as_str(), var.dims()), (wanted, &shape[..]));
        let largest = flat(var).iter().fold(0.0_f32, |a, x| a.max(x.abs()));
        // The largest of 50 uniform numbers is below 0.8 of the bound once in 70,000 times.
        let full = var.elem_count() == 1 || largest >= 0.8 * bound;
        assert!(largest <= bound && full, "{name}: {largest} of {bound}");
    }
}

#[test]
fn a_saved_decoder_is_the_same_decoder() {
    let decoder = small();
    let saved = decoder.save().unwrap();
    let again = Decoder::load(&saved.clone().into()).unwrap();
    assert_eq!(again.config(), decoder.config());
    assert_eq!(again.save().unwrap(), saved);
    let bare = safetensors::serialize(Vec::<(String, Tensor)>::new(), None).unwrap();
    let error = Decoder::load(&bare.into()).unwrap_err().to_string();
    assert!(error.contains("carry no `rsic.attend`"), "{error}");
}

#[test]
fn all_faults_are_listed_at_once() {
    let decoder = small();
    let mut weights: Weights =
        decoder.parameters().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
    weights.remove("fc.bias");
    weights.insert("f_beta.bias".to_owned(), random("x", 6));
    weights.insert("encoder.conv1.weight".to_owned(), random("x", 2));
    let error = Decoder::from_tensors(decoder.config(), Tensors::new("test", weights)).unwrap_err().to_string();
    for fault in ["missing: fc.bias [9]", "f_beta.bias is [6], expected [5]", "unused: encoder.conv1.weight [2]"] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
    for (size, given) in [(0, "0"), (1 << 21, "2097152")] {
        let config = AttendConfig { embed_dim: size, ..decoder.config().clone() };
        let message = format!("the decoder's embed_dim must be from 1 to 1048576, not {given}");
        assert_eq!(Decoder::init(&config, 1).unwrap_err().to_string(), message);
    }
}

/// Expected: a list of faults, although such weights would need 40 TB.
#[test]
fn a_file_that_promises_huge_weights_is_refused_without_making_them() {
    let size = 1 << 20;
    let huge =
        AttendConfig { encoder_dim: size, attention_dim: size, embed_dim: size, decoder_dim: size, vocab_size: size };
    let note = [(ATTEND_KEY.to_owned(), serde_json::to_string(&huge).unwrap())].into();
    let file = safetensors::serialize(Vec::<(String, Tensor)>::new(), Some(note)).unwrap();
    let error = Decoder::load(&file.into()).unwrap_err().to_string();
    assert!(error.contains("missing: decode_step.weight_ih [4194304, 2097152]"), "{error}");
}

#[test]
fn a_decoder_beside_other_weights_is_taken_by_its_prefix() {
    let decoder = small();
    let mut weights: Weights = decoder
        .parameters()
        .into_iter()
        .map(|(name, var)| (format!("decoder.{name}"), var.as_detached_tensor()))
        .collect();
    weights.insert("encoder.bias".to_owned(), random("x", 2));
    let mut tensors = Tensors::new("test", weights);
    let taken = Decoder::take(decoder.config(), &mut tensors, "decoder.").unwrap();
    tensors.check().unwrap();
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["encoder.bias"]);
    let taken = Decoder::with(decoder.config(), taken).unwrap();
    assert_eq!(taken.save().unwrap(), decoder.save().unwrap());
}
