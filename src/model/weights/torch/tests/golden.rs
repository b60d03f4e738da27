//! Checkpoints that PyTorch wrote, against their twins in SafeTensors.

use std::fs::File;

use safetensors::SafeTensors;

use super::*;
use crate::shared;

/// Rows of (checkpoint, twin, what the checkpoint's names have in front).
#[test]
fn checkpoints_hold_the_tensors_of_their_twins() {
    let rows = [
        ("gpt2_tiny/pytorch_model.pt", "gpt2_tiny/model.safetensors", ""),
        ("mappers/mlp_checkpoint.pt", "mappers/mlp.safetensors", "clip_project."),
        ("mappers/transformer_checkpoint.pt", "mappers/transformer.safetensors", "clip_project."),
        ("mappers/amht_checkpoint.pt", "mappers/amht.safetensors", "clip_project."),
    ];
    for (checkpoint, twin, prefix) in rows {
        let path = |name: &str| shared::path(&format!("golden/models/{name}"));
        let (Some(checkpoint), Some(twin)) = (path(checkpoint), path(twin)) else { continue };
        let mut file = TorchFile::open(File::open(&checkpoint).unwrap()).unwrap();
        let named = named_tensors(file.root()).unwrap();
        let bytes = std::fs::read(&twin).unwrap();
        let twin = SafeTensors::deserialize(&bytes).unwrap();
        assert!(!twin.is_empty() && named.path.is_empty() && named.inside.is_empty(), "{}", checkpoint.display());
        for (name, view) in twin.iter() {
            let wanted = format!("{prefix}{name}");
            let found = named.tensors.iter().find(|(name, _)| *name == wanted);
            let (_, info) = found.unwrap_or_else(|| panic!("{}: no {wanted}", checkpoint.display()));
            assert_eq!((info.shape.as_slice(), info.dtype), (view.shape(), Dtype::F32), "{wanted}");
            assert!(file.read(info).unwrap() == view.data(), "{wanted}");
        }
    }
}
