//! The instances of the attention baseline.

use std::path::Path;

use super::build::{Builder, Dataset, located, output};
use super::{From, Input, NodeId};
use crate::pipeline::models::{self, Role};
use crate::stage::Stage;
use crate::stage::attention::{AttentionSettings, BuildVocabulary, CaptionByAttention, Finetune, TrainAttention};
use crate::stage::features::Features;

impl Builder<'_> {
    /// An attention encoder-decoder on a dataset.
    pub(super) fn attention(
        &mut self,
        dataset: &Dataset<'_>,
        model: &str,
        settings: &AttentionSettings,
        images: &Path,
    ) {
        let features = self.features(dataset, model, settings, images);
        let vocabulary = self.graph.add(
            &format!("{}_{model}", dataset.name),
            Stage::BuildVocabulary(BuildVocabulary::new(dataset.language, settings.vocabulary.clone())),
            vec![
                output("images", dataset.annotations, "entries", &["image_id", "split"]),
                output("sentences", dataset.annotations, "sentences", &["image_id", "sent_id", "raw"]),
            ],
        );
        // File names serve messages alone.
        let entries = || output("images", dataset.ingest, "images", &["image_id", "split", "digest"]);
        let words = || output("vocabulary", vocabulary, "vocabulary", &["word"]);
        let learnt_from = || {
            let tokens = output("tokens", vocabulary, "tokens", &["image_id", "ids"]);
            let references = output("references", vocabulary, "references", &["image_id", "raw"]);
            vec![entries(), words(), tokens, references]
        };
        let train = |seed: u64, finetune: Option<Finetune>| {
            Stage::TrainAttention(TrainAttention {
                language: dataset.language,
                grid: settings.grid,
                decoder: settings.decoder.clone(),
                train: settings.train.clone(),
                max_tokens: settings.max_tokens(),
                seed,
                finetune,
            })
        };
        let split = self.config.caption.split;
        let caption = |builder: &mut Self, name: &str, train: NodeId, features: NodeId| {
            let stage = Stage::CaptionByAttention(CaptionByAttention {
                language: dataset.language,
                split,
                grid: settings.grid,
                max_tokens: settings.max_tokens(),
                decoding: settings.decoding.clone(),
                keep_attention: settings.keep_attention,
            });
            let (features, weights) =
                (output("features", features, "features", FEATURES), output("weights", train, "weights", &[]));
            builder.graph.add(name, stage, vec![entries(), features, words(), weights])
        };
        self.runs(dataset, model, &|builder, name, seed| {
            let mut reads = learnt_from();
            reads.push(output("features", features, "features", FEATURES));
            reads.extend(builder.encoder_images(dataset.name, &settings.encoder));
            let train = builder.graph.add(name, train(seed, None), reads);
            caption(builder, name, train, features)
        });
        if settings.encoder == models::SCRATCH {
            return;
        }
        // With the encoder trained along, every run has feature maps of its own.
        self.runs(dataset, &format!("{model}_ft"), &|builder, name, seed| {
            let mut reads = learnt_from();
            reads.push(located(images));
            reads.push(builder.map_encoder(dataset, settings, images));
            let train = builder.graph.add(name, train(seed, Some(settings.finetune.clone())), reads);
            let tuned = From::Scratch { node: train, role: Role::MapEncoder };
            let features = builder.maps(name, dataset, settings, images, Input { name: "encoder".into(), from: tuned });
            caption(builder, name, train, features)
        });
    }

    /// The feature maps of a dataset's images, which are those of the dataset that owns them.
    fn features(&mut self, dataset: &Dataset<'_>, model: &str, settings: &AttentionSettings, images: &Path) -> NodeId {
        let name = format!("{}_{model}", dataset.name);
        let base = self.config.datasets.get(dataset.name).and_then(|dataset| dataset.images_of.as_ref());
        if let Some(shared) = base.and_then(|base| self.graph.find(&format!("features/{base}_{model}"))) {
            self.graph.by_name.insert(format!("features/{name}"), shared);
            return shared;
        }
        let encoder = self.map_encoder(dataset, settings, images);
        self.maps(&name, dataset, settings, images, encoder)
    }

    /// The network that makes feature maps.
    fn map_encoder(&mut self, dataset: &Dataset<'_>, settings: &AttentionSettings, images: &Path) -> Input {
        let role = Role::MapEncoder;
        let from = if settings.encoder == models::SCRATCH {
            let read = [dataset.annotations, dataset.ingest];
            From::Scratch { node: self.scratch_clip(dataset.name, read, images, dataset.language), role }
        } else {
            From::Model { files: self.models.find(&settings.encoder, role), role }
        };
        Input { name: "encoder".into(), from }
    }

    fn maps(
        &mut self,
        name: &str,
        dataset: &Dataset<'_>,
        settings: &AttentionSettings,
        images: &Path,
        encoder: Input,
    ) -> NodeId {
        let reads = vec![output("images", dataset.ingest, "images", &["digest"]), located(images), encoder];
        self.graph.add(name, Stage::Features(Features { store: settings.store }), reads)
    }
}

/// The columns of the `features` table.
const FEATURES: &[&str] = &["digest", "height", "width", "channels", "map"];
