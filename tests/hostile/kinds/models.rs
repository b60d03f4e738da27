//! Files of models: weights, configurations, vocabularies.

use rsic::language::Language;
use rsic::model::checkpoint::{self, Adopted, Profile};
use rsic::model::clip::{self, ClipText, ImageEncoder};
use rsic::model::gpt2::{Gpt2, Gpt2Config};
use rsic::model::resnet::{self, ResNet};
use rsic::model::tokenizer::CaptionTokenizer;
use rsic::model::weights;
use rsic::model::{Bundle, Content};
use zip::CompressionMethod;

use super::super::bundles;
use super::super::writers::{archive, state_dict};
use super::{JSON, Kind, Variant};

/// Gives a file of weights to everything that takes one.
fn weights_are_read(bytes: &[u8]) -> bool {
    let content = Content::from(bytes.to_vec());
    let gpt2 = Gpt2Config { n_embd: 8, n_head: 2, ..Gpt2Config::default() };
    let _ = checkpoint::inspect(&content);
    let _ = Adopted::read(&content, "x.pt", &Profile::default(), &gpt2);
    let _ = clip::convert(&content, "x.pt", "gelu", None);
    let _ = resnet::convert(&content, "x.pt");
    weights::parse(bytes).is_ok()
}

pub(in super::super) fn safetensors() -> Kind {
    let files = [bundles::gpt2(), bundles::clip(), bundles::resnet()];
    let seeds: Vec<Vec<u8>> = files.iter().map(|bundle| bundles::file(bundle, "model.safetensors")).collect();
    // The header's length made that of the header, where it still ends as one.
    let mend = |bytes: &mut Vec<u8>| {
        if let Some(end) = bytes.windows(2).position(|pair| pair == b"}}") {
            let padding = bytes[end + 2..].iter().take(8).take_while(|byte| **byte == b' ').count();
            let length = (end + 2 + padding).saturating_sub(8) as u64;
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }
    };
    let variants = vec![Variant::new(seeds.clone(), weights_are_read), Variant::mended(seeds, mend, weights_are_read)];
    Kind { tokens: JSON, variants, most_memory: 500, found: &[] }
}

pub(in super::super) fn torch() -> Kind {
    let names = |n: usize| -> Vec<String> { (0..n).map(|n| format!("clip_project.model.{n}.weight")).collect() };
    let pickle = state_dict(&names(3), 24, &[2, 3], &[3, 1]);
    let around = |pickle: &[u8]| archive(&[("x/data.pkl", pickle), ("x/data/0", &[7; 96])], CompressionMethod::Stored);
    let packed = archive(&[("x/data.pkl", &pickle), ("x/data/0", &[7; 96])], CompressionMethod::Deflated);
    let tokens: &[&[u8]] = &[
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"data.pkl",
        b"data/0",
        b"byteorder",
        b"\x80\x02",
        b"}",
        b"(",
        b")",
        b"t",
        b"Q",
        b"R",
        b"q\0",
        b"h\0",
        b"]",
        b"a",
        b"e",
        b"u",
        b"s",
        b"b",
        b"N",
        b"\x89",
        b"\x8a\x01",
        b"J\xff\xff\xff\x7f",
        b"ctorch\nFloatStorage\n",
        b"ctorch\nHalfStorage\n",
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
    ];
    let variants = vec![
        Variant::new(vec![around(&pickle), packed, bundles::torch()], weights_are_read),
        // The pickle alone is changed, in an archive that is whole.
        Variant::new(vec![pickle], move |bytes| weights_are_read(&around(bytes))),
    ];
    Kind { tokens, variants, most_memory: 1_500, found: &[] }
}

pub(in super::super) fn configs() -> Kind {
    let (gpt2, clip, resnet) = (bundles::gpt2(), bundles::clip(), bundles::resnet());
    let seed = |bundle: &Bundle| vec![bundles::file(bundle, "config.json")];
    let preprocessor =
        br#"{"crop_size": {"height": 8, "width": 8}, "size": {"shortest_edge": 8}, "resample": 3, "do_resize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 0.00392156862745098}"#;
    let (seeds, looking) = ([seed(&gpt2), seed(&clip), seed(&resnet)], clip.clone());
    let [of_gpt2, of_clip, of_resnet] = seeds;
    let variants = vec![
        Variant::new(of_gpt2, move |bytes| Gpt2::load(&bundles::with(&gpt2, "config.json", bytes)).is_ok()),
        Variant::new(of_clip, move |bytes| {
            let bundle = bundles::with(&clip, "config.json", bytes);
            let _ = ClipText::load(&bundle);
            ImageEncoder::load(&bundle).is_ok()
        }),
        Variant::new(vec![preprocessor.to_vec()], move |bytes| {
            ImageEncoder::load(&bundles::with(&looking, "preprocessor_config.json", bytes)).is_ok()
        }),
        Variant::new(of_resnet, move |bytes| ResNet::load(&bundles::with(&resnet, "config.json", bytes)).is_ok()),
    ];
    Kind { tokens: JSON, variants, most_memory: 500, found: &[] }
}

pub(in super::super) fn tokenizers() -> Kind {
    let variants = bundles::vocabularies().into_iter().map(|(name, files)| {
        let read = {
            let files = files.clone();
            move |bytes: &[u8]| {
                let mut files = files.clone();
                files.insert(name, bytes.to_vec());
                let tokenizer = CaptionTokenizer::load(&bundles::of_files(&files), Language::En);
                let Ok(tokenizer) = tokenizer else { return false };
                let ids = tokenizer.encode("a plane, 飞机 on the runway .");
                ids.is_ok_and(|ids| tokenizer.decode(&ids).len() < 1 << 20)
            }
        };
        Variant::new(vec![files[name].clone()], read)
    });
    Kind { tokens: JSON, variants: variants.collect(), most_memory: 500, found: &[] }
}
