//! The names of tensors: torchvision's become those of Hugging Face's `ResNetModel`.

use std::collections::BTreeMap;

use crate::model::weights::Tensors;

/// Gives all tensors the names of `ResNetModel`; returns whether they had torchvision's.
///
/// Also removes what wraps put before every name: `resnet.` of `ResNetForImageClassification`, `module.` of parallel training.
pub(super) fn translate(tensors: &mut Tensors) -> bool {
    for wrap in ["module.", "resnet."] {
        tensors.strip_prefix(wrap);
    }
    let torchvision = tensors.has("conv1.weight");
    if torchvision {
        tensors.rename(|name| renamed(name).unwrap_or_else(|| name.to_owned()));
    }
    torchvision
}

/// The same for names and shapes alone; `None` if they are not torchvision's.
pub(super) fn translated(shapes: &BTreeMap<String, Vec<usize>>) -> Option<BTreeMap<String, Vec<usize>>> {
    let bare = |name: &str| name.strip_prefix("module.").unwrap_or(name).to_owned();
    let shapes: BTreeMap<String, Vec<usize>> = shapes.iter().map(|(name, shape)| (bare(name), shape.clone())).collect();
    shapes.contains_key("conv1.weight").then_some(())?;
    Some(shapes.into_iter().map(|(name, shape)| (renamed(&name).unwrap_or(name), shape)).collect())
}

/// Whether features need no such tensor: the classifier's, and counts of training steps.
pub(super) fn is_unused(name: &str) -> bool {
    name.starts_with("classifier.") || name.starts_with("fc.") || name.ends_with(".num_batches_tracked")
}

/// The new name of one of torchvision's tensors, such as `layer1.0.bn2.bias`; `None` for others.
fn renamed(name: &str) -> Option<String> {
    let Some(rest) = name.strip_prefix("layer") else {
        return Some(format!("embedder.embedder.{}", part(name, "1")?));
    };
    let mut words = rest.splitn(3, '.');
    let (stage, block, rest) = (words.next()?.parse::<usize>().ok()?, words.next()?, words.next()?);
    let inner = if let Some(rest) = rest.strip_prefix("downsample.") {
        let (index, rest) = rest.split_once('.')?;
        let kind = ["convolution", "normalization"].get(index.parse::<usize>().ok()?)?;
        format!("shortcut.{kind}.{rest}")
    } else {
        let number = rest.split('.').next()?.trim_start_matches(|c: char| !c.is_ascii_digit());
        format!("layer.{}.{}", number.parse::<usize>().ok()?.checked_sub(1)?, part(rest, number)?)
    };
    Some(format!("encoder.stages.{}.layers.{block}.{inner}", stage.checked_sub(1)?))
}

/// The new name of a tensor of the convolution or normalisation with this number, such as `bn2.bias`.
fn part(name: &str, number: &str) -> Option<String> {
    let (kind, rest) = name.split_once('.')?;
    match kind.strip_suffix(number)? {
        "conv" => Some(format!("convolution.{rest}")),
        "bn" => Some(format!("normalization.{rest}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected by hand, from the modules of torchvision's and of transformers' `ResNet`.
    #[test]
    fn names_of_torchvision() {
        let rows = [
            ("conv1.weight", Some("embedder.embedder.convolution.weight")),
            ("bn1.running_var", Some("embedder.embedder.normalization.running_var")),
            ("layer1.0.conv1.weight", Some("encoder.stages.0.layers.0.layer.0.convolution.weight")),
            ("layer3.22.conv3.weight", Some("encoder.stages.2.layers.22.layer.2.convolution.weight")),
            ("layer4.2.bn2.running_mean", Some("encoder.stages.3.layers.2.layer.1.normalization.running_mean")),
            ("layer2.0.downsample.0.weight", Some("encoder.stages.1.layers.0.shortcut.convolution.weight")),
            ("layer2.0.downsample.1.bias", Some("encoder.stages.1.layers.0.shortcut.normalization.bias")),
            ("fc.weight", None),
            ("bn2.bias", None),
            ("layer0.0.conv1.weight", None),
            ("layer1.0.conv0.weight", None),
            ("layer1.0.conv.weight", None),
            ("layer1.0.se1.weight", None),
            ("layer1.0.downsample.2.weight", None),
            ("layernorm.weight", None),
        ];
        for (name, wanted) in rows {
            assert_eq!(renamed(name).as_deref(), wanted, "{name}");
        }
    }
}
