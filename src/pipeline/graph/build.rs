//! Settings -> graph: which stage every instance is, and what it reads.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Floor, From, Graph, Input, NodeId};
use crate::language::Language;
use crate::pipeline::config::{Config, DatasetConfig};
use crate::pipeline::{models, resources};
use crate::stage::Stage;
use crate::stage::annotations::ReadAnnotations;
use crate::stage::caption::Caption;
use crate::stage::external;
use crate::stage::floor::{ByClass, Constant, Human, Nearest};
use crate::stage::ingest::Ingest;
use crate::stage::meteor::MeteorTables;
use crate::stage::pretrain::{PretrainClip, PretrainGpt2};
use crate::stage::score::Score;
use crate::stage::spice::Spice;
use crate::stage::summary::{self, Summary};
use crate::stage::tokenize::Tokenize;
use crate::stage::train::{Train, Training};

/// Every instance that the configuration defines; relative paths are below `root`.
pub(super) fn graph(config: &Config, root: &Path) -> Graph {
    let models = Rc::new(models::Finder::new(root));
    let mut builder = Builder { config, root, graph: Graph::default(), models, meteor: None };
    builder.meteor = resources::meteor(&config.score.meteor, root).map(|files| {
        let inputs = vec![file("jar", files.jar), file("paraphrases", files.paraphrases)];
        builder.graph.add("meteor", Stage::MeteorTables(MeteorTables {}), inputs)
    });
    // Datasets that own their images come first: others read their embeddings.
    for owns in [true, false] {
        for (name, dataset) in &config.datasets {
            if dataset.images_of.is_none() == owns {
                builder.dataset(name, dataset);
            }
        }
    }
    builder.graph
}

pub(super) struct Builder<'a> {
    pub(super) config: &'a Config,
    pub(super) root: &'a Path,
    pub(super) graph: Graph,
    pub(super) models: Rc<models::Finder>,
    /// The node of METEOR's tables, where they were found.
    meteor: Option<NodeId>,
}

/// How to read a language model, in one role or another.
type ReadGpt2 = Box<dyn Fn(models::Role) -> From>;

/// What all instances of a dataset share.
pub(super) struct Dataset<'a> {
    pub(super) name: &'a str,
    pub(super) language: Language,
    pub(super) annotations: NodeId,
    pub(super) ingest: NodeId,
    embed: NodeId,
}

pub(super) fn output(
    name: impl Into<Cow<'static, str>>,
    node: NodeId,
    output: &'static str,
    columns: &'static [&'static str],
) -> Input {
    Input { name: name.into(), from: From::Output { node, output, columns } }
}

fn file(name: &'static str, path: PathBuf) -> Input {
    Input { name: name.into(), from: From::File(path) }
}

pub(super) fn located(images: &Path) -> Input {
    Input { name: "files".into(), from: From::Located(images.to_owned()) }
}

impl Builder<'_> {
    fn dataset(&mut self, name: &str, dataset: &DatasetConfig) {
        let language = dataset.language;
        let images = self.root.join(&dataset.images);
        let annotations = self.graph.add(
            name,
            Stage::Annotations(ReadAnnotations { language }),
            vec![file("annotations", self.root.join(&dataset.annotations))],
        );
        let ingest = self.graph.add(
            name,
            Stage::Ingest(Ingest {}),
            vec![
                output("entries", annotations, "entries", &["image_id", "filename", "split", "class"]),
                Input { name: "images".into(), from: From::Folder(images.clone()) },
            ],
        );
        let embed = if let Some(base) = &dataset.images_of {
            let shared = self.graph.find(&format!("embed/{base}")).unwrap_or(ingest);
            self.graph.by_name.insert(format!("embed/{name}"), shared);
            shared
        } else {
            let clip = self.clip(name, [annotations, ingest], &images, language);
            self.embed(name, ingest, &images, clip)
        };
        let source = self.config.models.gpt2.get(&language).cloned().unwrap_or_default();
        let gpt2 = self.gpt2(name, annotations, language, source);
        let tokenize = self.graph.add(
            name,
            Stage::Tokenize(Tokenize { language }),
            vec![
                output("images", annotations, "entries", &["image_id", "split"]),
                output("sentences", annotations, "sentences", &["image_id", "sent_id", "raw"]),
                Input { name: "gpt2".into(), from: gpt2(models::Role::Tokenizer) },
            ],
        );
        let dataset = Dataset { name, language, annotations, ingest, embed };
        self.floors(&dataset);
        self.captions_made_elsewhere(&dataset);
        self.mappers_trained_elsewhere(&dataset, &images, &gpt2);
        for mapper in self.config.mappers.keys() {
            for finetune in [false, true] {
                self.captioner(&dataset, mapper, finetune, tokenize, &gpt2);
            }
        }
        for (model, settings) in &self.config.attention {
            self.attention(&dataset, model, settings, &images);
        }
    }

    /// How to read the image encoder of a dataset that owns its images.
    fn clip(&mut self, name: &str, read: [NodeId; 2], images: &Path, language: Language) -> From {
        if self.config.models.clip == models::SCRATCH {
            let node = self.scratch_clip(name, read, images, language);
            return From::Scratch { node, role: models::Role::ImageEncoder };
        }
        self.image_encoder(&self.config.models.clip)
    }

    /// The node that trains a small image encoder on a dataset that owns its images.
    pub(super) fn scratch_clip(
        &mut self,
        name: &str,
        [annotations, ingest]: [NodeId; 2],
        images: &Path,
        language: Language,
    ) -> NodeId {
        let name = format!("{name}_clip");
        if let Some(node) = self.graph.find(&format!("pretrain/{name}")) {
            return node;
        }
        self.graph.add(
            &name,
            Stage::PretrainClip(PretrainClip { language, clip: self.config.scratch.clip.clone() }),
            vec![
                output("images", ingest, "images", &["image_id", "split", "digest"]),
                output("sentences", annotations, "sentences", &["image_id", "raw"]),
                located(images),
            ],
        )
    }

    fn image_encoder(&self, source: &str) -> From {
        let role = models::Role::ImageEncoder;
        From::Model { files: self.models.find(source, role), role }
    }

    fn embed(&mut self, name: &str, ingest: NodeId, images: &Path, clip: From) -> NodeId {
        let images_read = output("images", ingest, "images", &["digest"]);
        let clip = Input { name: "clip".into(), from: clip };
        self.graph.add(name, Stage::Embed(self.config.embed.clone()), vec![images_read, located(images), clip])
    }

    /// How to read a language model of this dataset, in one role or another.
    fn gpt2(&mut self, name: &str, annotations: NodeId, language: Language, source: String) -> ReadGpt2 {
        if source == models::SCRATCH {
            let node = self.graph.add(
                &format!("{name}_gpt2"),
                Stage::PretrainGpt2(PretrainGpt2 { language, gpt2: self.config.scratch.gpt2.clone() }),
                vec![
                    output("images", annotations, "entries", &["image_id", "split"]),
                    output("sentences", annotations, "sentences", &["image_id", "raw"]),
                ],
            );
            return Box::new(move |role| From::Scratch { node, role });
        }
        let models = self.models.clone();
        Box::new(move |role| From::Model { files: models.find(&source, role), role })
    }

    /// The floors and ceilings of a dataset.
    fn floors(&mut self, dataset: &Dataset<'_>) {
        let (split, language) = (self.config.caption.split, dataset.language);
        let annotations = dataset.annotations;
        let sentences = || output("sentences", annotations, "sentences", &["image_id", "raw"]);
        let entries = || output("images", annotations, "entries", &["image_id", "split"]);
        for floor in Floor::ALL {
            let (stage, inputs) = match floor {
                Floor::Constant => (Stage::Constant(Constant { language, split }), vec![entries(), sentences()]),
                Floor::Class => {
                    let entries = output("images", annotations, "entries", &["image_id", "split", "class"]);
                    (Stage::ByClass(ByClass { split }), vec![entries, sentences()])
                }
                Floor::Knn => {
                    let images = output("images", dataset.ingest, "images", &["image_id", "split", "digest"]);
                    let vectors = output("embeddings", dataset.embed, "embeddings", &["digest", "vector"]);
                    (Stage::Nearest(Nearest { language, split }), vec![images, vectors, sentences()])
                }
                Floor::Human | Floor::HumanDistinct => {
                    let sentences = output("sentences", annotations, "sentences", &["image_id", "sent_id", "raw"]);
                    let distinct = floor == Floor::HumanDistinct;
                    (Stage::Human(Human { split, distinct }), vec![entries(), sentences])
                }
            };
            let held_out = matches!(stage, Stage::Human(_));
            let caption = self.graph.add(&format!("{}_{}", dataset.name, floor.name()), stage, inputs);
            self.score(dataset, floor.name(), caption, held_out);
        }
    }

    /// The captions that other programs made of a dataset.
    fn captions_made_elsewhere(&mut self, dataset: &Dataset<'_>) {
        for (model, captions) in &self.config.captions {
            let Some(path) = captions.files.get(dataset.name) else { continue };
            let stage = external::Captions { split: self.config.caption.split, allow_missing: captions.allow_missing };
            let caption = self.graph.add(
                &format!("{}_{model}", dataset.name),
                Stage::ExternalCaptions(stage),
                vec![
                    file("file", self.root.join(path)),
                    output("entries", dataset.annotations, "entries", &["image_id", "filename", "split"]),
                ],
            );
            self.score(dataset, model, caption, false);
        }
    }

    /// The mappers that other programs trained, on this dataset.
    fn mappers_trained_elsewhere(&mut self, dataset: &Dataset<'_>, images: &Path, gpt2: &ReadGpt2) {
        for (name, checkpoint) in &self.config.checkpoints {
            let Some((owner, model)) = self.config.dataset_of(name).filter(|(owner, _)| *owner == dataset.name) else {
                continue;
            };
            let own_gpt2 = checkpoint.gpt2.clone();
            let own_gpt2 = own_gpt2.map(|source| self.gpt2(owner, dataset.annotations, dataset.language, source));
            let gpt2 = own_gpt2.as_ref().unwrap_or(gpt2);
            let embed = match &checkpoint.clip {
                Some(source) => self.embed(name, dataset.ingest, images, self.image_encoder(source)),
                None => dataset.embed,
            };
            let inputs = vec![
                file("file", self.root.join(&checkpoint.file)),
                Input { name: "gpt2".into(), from: gpt2(models::Role::Config) },
            ];
            let train =
                self.graph.add(name, Stage::ExternalMapper(external::Mapper { profile: checkpoint.profile() }), inputs);
            let role = if checkpoint.with_gpt2 { models::Role::Tokenizer } else { models::Role::LanguageModel };
            let caption = self.caption(name, dataset, (embed, train), gpt2(role), &checkpoint.stop_texts);
            self.score(dataset, model, caption, false);
        }
    }

    /// A mapper on a dataset.
    fn captioner(
        &mut self,
        dataset: &Dataset<'_>,
        mapper: &str,
        finetune: bool,
        tokenize: NodeId,
        gpt2: &dyn Fn(models::Role) -> From,
    ) {
        let model = if finetune { format!("{mapper}_gpt") } else { mapper.to_owned() };
        self.runs(dataset, &model, &|builder, name, seed| {
            let dropout = if finetune { builder.config.train.dropout } else { 0.0 };
            let training = Training { seed, seeds: Vec::new(), dropout, ..builder.config.train.clone() };
            let train = builder.train(name, dataset, (mapper, finetune, training), tokenize, gpt2);
            // A language model that was trained along comes with the mapper's weights.
            let role = if finetune { models::Role::Tokenizer } else { models::Role::LanguageModel };
            builder.caption(name, dataset, (dataset.embed, train), gpt2(role), &[])
        });
    }

    /// A model that is trained, with its score; with several seeds one run each, and their summary under the plain name.
    ///
    /// - `caption`: makes the node of the captions of one run, by its name and seed.
    pub(super) fn runs(
        &mut self,
        dataset: &Dataset<'_>,
        model: &str,
        caption: &dyn Fn(&mut Self, &str, u64) -> NodeId,
    ) {
        let run = |builder: &mut Self, model: &str, seed: u64| {
            let caption = caption(builder, &format!("{}_{model}", dataset.name), seed);
            builder.score(dataset, model, caption, false)
        };
        let seeds = self.config.train.seeds.clone();
        if let [] | [_] = seeds[..] {
            run(self, model, seeds.first().copied().unwrap_or(self.config.train.seed));
            return;
        }
        let mut inputs = Vec::new();
        for (k, seed) in seeds.iter().enumerate() {
            let score = run(self, &format!("{model}_seed{seed}"), *seed);
            let [scores, statistics] = summary::input_names(k);
            inputs.push(output(scores, score, "scores", summary::COLUMNS));
            inputs.push(output(statistics, score, "statistics", STATISTICS));
        }
        let stage = Stage::Summary(Summary {
            dataset: dataset.name.to_owned(),
            model: model.to_owned(),
            split: self.config.caption.split,
            language: dataset.language,
            seeds,
            score: self.config.score.scoring(),
        });
        self.graph.add(&format!("{}_{model}", dataset.name), stage, inputs);
    }

    fn train(
        &mut self,
        name: &str,
        dataset: &Dataset<'_>,
        (mapper, finetune, train): (&str, bool, Training),
        tokenize: NodeId,
        gpt2: &dyn Fn(models::Role) -> From,
    ) -> NodeId {
        let mut reads = vec![
            output("images", dataset.ingest, "images", &["image_id", "split", "digest"]),
            output("embeddings", dataset.embed, "embeddings", &["digest", "vector"]),
            output("tokens", tokenize, "tokens", &["image_id", "ids"]),
            Input { name: "gpt2".into(), from: gpt2(models::Role::LanguageModel) },
        ];
        reads.extend(self.encoder_images(dataset.name, &self.config.models.clip));
        let mapper = self.config.mappers[mapper].clone();
        self.graph.add(name, Stage::Train(Train { language: dataset.language, finetune, mapper, train }), reads)
    }

    /// A scratch encoder has learnt from the train split of the dataset that owns the images, if that is another one.
    pub(super) fn encoder_images(&self, dataset: &str, encoder: &str) -> Option<Input> {
        let base = self.config.datasets.get(dataset).and_then(|dataset| dataset.images_of.as_ref());
        let base = base.filter(|_| encoder == models::SCRATCH)?;
        Some(output("encoder_images", self.graph.find(&format!("ingest/{base}"))?, "images", &["split", "digest"]))
    }

    fn caption(
        &mut self,
        name: &str,
        dataset: &Dataset<'_>,
        (embed, train): (NodeId, NodeId),
        gpt2: From,
        stop_texts: &[String],
    ) -> NodeId {
        let language = dataset.language;
        let mut decoding = self.config.caption.decoding.clone();
        decoding.stop_texts.extend_from_slice(stop_texts);
        self.graph.add(
            name,
            Stage::Caption(Caption {
                language,
                split: self.config.caption.split,
                max_tokens: self.config.caption.max_tokens.get(&language).copied().unwrap_or(67),
                decoding,
            }),
            vec![
                output("images", dataset.ingest, "images", &["image_id", "split", "digest"]),
                output("embeddings", embed, "embeddings", &["digest", "vector"]),
                output("weights", train, "weights", &[]),
                Input { name: "gpt2".into(), from: gpt2 },
            ],
        )
    }

    fn score(&mut self, dataset: &Dataset<'_>, model: &str, caption: NodeId, held_out: bool) -> NodeId {
        let name = format!("{}_{model}", dataset.name);
        let inputs = |last: Vec<Input>| {
            let mut inputs = vec![output("captions", caption, "captions", &["image_id", "caption"])];
            if held_out {
                inputs.push(output("held_out", caption, "held_out", &["image_id", "sent_id"]));
                let columns = &["image_id", "sent_id", "raw"];
                inputs.push(output("sentences", dataset.annotations, "sentences", columns));
            } else {
                inputs.push(output("sentences", dataset.annotations, "sentences", &["image_id", "raw"]));
            }
            inputs.extend(last);
            inputs
        };
        let mut further = vec![
            output("entries", dataset.annotations, "entries", &["image_id", "filename", "split"]),
            output("edition", dataset.annotations, "edition", &["edition", "split_digest"]),
        ];
        if dataset.language == Language::En {
            further.extend(self.meteor.map(|node| output("meteor", node, "table", &[])));
            if let Some(spice) = resources::spice(&self.config.score.spice, self.root) {
                let program = vec![file("jar", spice.jar), Input { name: "lib".into(), from: From::Folder(spice.lib) }];
                let stage = Stage::Spice(Spice { java: resources::java(&self.config.score.java, self.root) });
                let node = self.graph.add(&name, stage, inputs(program));
                further.push(output("spice", node, "spice", &["image_id", "part", "f", "program"]));
            }
        }
        let stage = Stage::Score(Score {
            dataset: dataset.name.to_owned(),
            model: model.to_owned(),
            split: self.config.caption.split,
            language: dataset.language,
            score: self.config.score.scoring(),
        });
        self.graph.add(&name, stage, inputs(further))
    }
}

/// The columns of the `statistics` table.
const STATISTICS: &[&str] = &["run", "family", "variant", "image_id", "numbers"];
