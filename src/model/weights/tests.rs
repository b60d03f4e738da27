use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::shared;

fn bundle(files: &[(&str, &[u8])]) -> Bundle {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec().into())).collect();
    Bundle { files, name: "made".to_owned() }
}

fn safetensors(tensors: &[(&str, &Tensor)]) -> Vec<u8> {
    let tensors: BTreeMap<String, Tensor> = tensors.iter().map(|(n, t)| ((*n).to_owned(), (*t).clone())).collect();
    ::safetensors::serialize(&tensors, None).unwrap()
}

fn ramp(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap().reshape(shape).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn halves_become_floats_and_shards_are_joined() {
    let (a, b) = (ramp(&[2, 3]).to_dtype(DType::F16).unwrap(), ramp(&[4]).to_dtype(DType::BF16).unwrap());
    let index = br#"{"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;
    let one = safetensors(&[("a", &a)]);
    let two = safetensors(&[("b", &b)]);
    let files: [(&str, &[u8]); 3] =
        [("model.safetensors.index.json", index), ("one.safetensors", &one), ("two.safetensors", &two)];
    let weights = load(&bundle(&files)).unwrap();
    assert_eq!(values(&weights["a"]), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(weights["b"].dtype(), DType::F32);

    let error = load(&bundle(&[files[0], files[1], ("two.safetensors", &one)])).unwrap_err().to_string();
    assert!(error.contains("promises tensor `b`"), "{error}");
}

#[test]
fn what_is_not_weights_is_named() {
    let whole = safetensors(&[("a", &ramp(&[100]))]);
    let rows: [(&str, &[u8], &str); 9] = [
        ("an empty file", b"", "is empty"),
        ("a web page", b"\n <!DOCTYPE html><html>", "web page"),
        ("a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ("an error message", br#"{"error":"denied"}"#, "JSON"),
        ("old PyTorch", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02", "before 1.6"),
        ("a cut download", &whole[..whole.len() - 7], "cut short"),
        ("a cut header", &whole[..20], "cut short"),
        ("a cut archive", b"PK\x03\x04abc", "cut short"),
        ("noise", &[0xaa; 64], "neither"),
    ];
    for (name, bytes, expected) in rows {
        let error = load(&bundle(&[("model.safetensors", bytes)])).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(expected) && text.contains("`model.safetensors` of model made"), "{name}: {text}");
    }
    let error = load(&bundle(&[("config.json", b"{}")])).unwrap_err().to_string();
    assert!(error.contains("no weights") && error.contains("config.json"), "{error}");
}

#[test]
fn every_fault_is_listed() {
    let bytes =
        safetensors(&[("net.a", &ramp(&[2])), ("net.b", &ramp(&[3])), ("net.mask", &ramp(&[1])), ("x", &ramp(&[1]))]);
    let mut tensors = Tensors::new("made", parse(&bytes).unwrap());
    tensors.strip_prefix("net.");
    tensors.ignore(|name| name.ends_with("mask"));
    assert_eq!(values(&tensors.take("a", &[2]).unwrap()), [0., 1.]);
    tensors.take("b", &[4]).unwrap();
    tensors.take("c", &[5]).unwrap();
    let error = tensors.finish().unwrap_err().to_string();
    for part in ["misshapen: b is [3], expected [4]", "missing: c [5]", "unused: x [1]"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("mask"), "{error}");
}

/// The golden model is stored three times: with a prefix, as on the hub, and by `torch.save`.
#[test]
fn a_pytorch_checkpoint_holds_the_same_tensors_as_its_twin() {
    let Some(folder) = shared::path("golden/models/gpt2_tiny") else { return };
    let read = |file: &str| parse(&std::fs::read(folder.join(file)).unwrap()).unwrap();
    let (plain, torch) = (read("model.safetensors"), read("pytorch_model.pt"));
    for (name, tensor) in &plain {
        assert_eq!(torch[name].dims(), tensor.dims(), "{name}");
        assert_eq!(values(&torch[name]), values(tensor), "{name}");
    }
    assert_eq!(values(&torch["lm_head.weight"]), values(&plain["transformer.wte.weight"]));
    assert_eq!(values(&torch["transformer.h.0.attn.masked_bias"]), [-10000.0]);
}

#[test]
fn a_cut_pytorch_checkpoint_is_named() {
    let Some(folder) = shared::path("golden/models/gpt2_tiny") else { return };
    let bytes = std::fs::read(folder.join("pytorch_model.pt")).unwrap();
    let error = format!("{:#}", parse(&bytes[..bytes.len() / 2]).unwrap_err());
    assert!(error.contains("cut short"), "{error}");
}

/// A SafeTensors file begins with the length of its header, whose bytes may look like other formats.
#[test]
fn no_length_of_a_header_is_taken_for_another_format() {
    let plain = safetensors(&[("a", &ramp(&[2]))]);
    let length = u64::from_le_bytes(plain[..8].try_into().unwrap()) as usize;
    // `80 01` to `80 05` begin pickles, `20 3C` and `3C` web pages, `7B` JSON, `1F 8B` gzip.
    for wanted in [384, 640, 896, 1152, 1408, 15392, 0x3c3c, 0x7b7b, 0x8b1f] {
        let header = [&plain[8..8 + length], &vec![b' '; wanted - length]].concat();
        let file = [&(wanted as u64).to_le_bytes()[..], &header, &plain[8 + length..]].concat();
        assert_eq!(values(&parse(&file).unwrap()["a"]), [0., 1.], "{wanted}");
    }
}

#[test]
fn two_tensors_of_one_name_are_a_fault() {
    let one = safetensors(&[("a.x", &ramp(&[2])), ("b.x", &ramp(&[2]))]);
    let mut tensors = Tensors::new("made", parse(&one).unwrap());
    tensors.rename(|name| name[2..].to_owned());
    tensors.take("x", &[2]).unwrap();
    let error = tensors.finish().unwrap_err().to_string();
    assert!(error.contains("twice: x, the other time as b.x"), "{error}");
}
