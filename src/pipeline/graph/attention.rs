//! The instances of the attention baseline.

use std::path::Path;

use super::build::{Builder, Dataset, located, output};
use super::{From, Input, NodeId};
use crate::pipeline::models::{self, Role};
use crate::stage::Stage;
use crate::stage::attention::{AttentionSettings, BuildVocabulary, CaptionByAttention, TrainAttention};
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
        self.runs(dataset, model, &|builder, name, seed| {
            let shared = || {
                vec![
                    output("images", dataset.ingest, "images", &["image_id", "filename", "split", "digest"]),
                    output("features", features, "features", FEATURES),
                    output("vocabulary", vocabulary, "vocabulary", &["word"]),
                ]
            };
            let mut reads = shared();
            reads.push(output("tokens", vocabulary, "tokens", &["image_id", "ids"]));
            reads.push(output("sentences", dataset.annotations, "sentences", &["image_id", "raw"]));
            reads.extend(builder.encoder_images(dataset.name, &settings.encoder));
            let train = Stage::TrainAttention(TrainAttention {
                language: dataset.language,
                grid: settings.grid,
                decoder: settings.decoder.clone(),
                train: settings.train.clone(),
                max_tokens: settings.max_tokens(),
                seed,
            });
            let train = builder.graph.add(name, train, reads);
            let mut reads = shared();
            reads.push(output("weights", train, "weights", &[]));
            let caption = Stage::CaptionByAttention(CaptionByAttention {
                language: dataset.language,
                split: builder.config.caption.split,
                grid: settings.grid,
                max_tokens: settings.max_tokens(),
                decoding: settings.decoding.clone(),
                keep_attention: settings.keep_attention,
            });
            builder.graph.add(name, caption, reads)
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
        let role = Role::MapEncoder;
        let encoder = if settings.encoder == models::SCRATCH {
            let read = [dataset.annotations, dataset.ingest];
            From::Scratch { node: self.scratch_clip(dataset.name, read, images, dataset.language), role }
        } else {
            From::Model { files: models::find(&settings.encoder, self.root, role), role }
        };
        let encoder = Input { name: "encoder".into(), from: encoder };
        let images_read = output("images", dataset.ingest, "images", &["digest"]);
        self.graph.add(
            &name,
            Stage::Features(Features { store: settings.store }),
            vec![images_read, located(images), encoder],
        )
    }
}

/// The columns of the `features` table.
const FEATURES: &[&str] = &["digest", "height", "width", "channels", "map"];
