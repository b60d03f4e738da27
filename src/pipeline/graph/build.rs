//! Settings -> graph: which stage every instance is, and what it reads.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::{Floor, From, Graph, Input, NodeId};
use crate::language::Language;
use crate::pipeline::config::{Config, DatasetConfig};
use crate::pipeline::{models, resources};
use crate::stage::Stage;
use crate::stage::annotations::ReadAnnotations;
use crate::stage::caption::Caption;
use crate::stage::floor::{ByClass, Constant, Human, Nearest};
use crate::stage::import::Import;
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
    let mut builder = Builder { config, root, graph: Graph::default(), meteor: None };
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

struct Builder<'a> {
    config: &'a Config,
    root: &'a Path,
    graph: Graph,
    /// The node of METEOR's tables, where they were found.
    meteor: Option<NodeId>,
}

/// What all instances of a dataset share.
struct Dataset<'a> {
    name: &'a str,
    language: Language,
    annotations: NodeId,
    ingest: NodeId,
    embed: NodeId,
}

fn output(
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
        let embed = match &dataset.images_of {
            Some(base) => {
                let shared = self.graph.find(&format!("embed/{base}")).unwrap_or(ingest);
                self.graph.by_name.insert(format!("embed/{name}"), shared);
                shared
            }
            None => self.embed(name, [annotations, ingest], &images, language),
        };
        let gpt2 = self.gpt2(name, annotations, language);
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
        self.imports(&dataset);
        for mapper in self.config.mappers.keys() {
            for finetune in [false, true] {
                self.captioner(&dataset, mapper, finetune, tokenize, &gpt2);
            }
        }
    }

    fn embed(&mut self, name: &str, [annotations, ingest]: [NodeId; 2], images: &Path, language: Language) -> NodeId {
        let located = || Input { name: "files".into(), from: From::Located(images.to_owned()) };
        let clip = if self.config.models.clip == models::SCRATCH {
            let node = self.graph.add(
                &format!("{name}_clip"),
                Stage::PretrainClip(PretrainClip { language, clip: self.config.scratch.clip.clone() }),
                vec![
                    output("images", ingest, "images", &["image_id", "split", "digest"]),
                    output("sentences", annotations, "sentences", &["image_id", "raw"]),
                    located(),
                ],
            );
            From::Scratch { node, role: models::Role::ImageEncoder }
        } else {
            let files = models::find(&self.config.models.clip, self.root, models::Role::ImageEncoder);
            From::Model { files, role: models::Role::ImageEncoder }
        };
        self.graph.add(
            name,
            Stage::Embed(self.config.embed.clone()),
            vec![output("images", ingest, "images", &["digest"]), located(), Input { name: "clip".into(), from: clip }],
        )
    }

    /// How to read this dataset's language model, in one role or another.
    fn gpt2(&mut self, name: &str, annotations: NodeId, language: Language) -> Box<dyn Fn(models::Role) -> From> {
        let source = self.config.models.gpt2.get(&language).cloned().unwrap_or_default();
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
        let root = self.root.to_owned();
        Box::new(move |role| From::Model { files: models::find(&source, &root, role), role })
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
    fn imports(&mut self, dataset: &Dataset<'_>) {
        for (model, captions) in &self.config.captions {
            let Some(path) = captions.files.get(dataset.name) else { continue };
            let stage = Import { split: self.config.caption.split, allow_missing: captions.allow_missing };
            let caption = self.graph.add(
                &format!("{}_{model}", dataset.name),
                Stage::Import(stage),
                vec![
                    file("file", self.root.join(path)),
                    output("entries", dataset.annotations, "entries", &["image_id", "filename", "split"]),
                ],
            );
            self.score(dataset, model, caption, false);
        }
    }

    /// A mapper on a dataset; with several seeds one run each, and their summary under the plain name.
    fn captioner(
        &mut self,
        dataset: &Dataset<'_>,
        mapper: &str,
        finetune: bool,
        tokenize: NodeId,
        gpt2: &dyn Fn(models::Role) -> From,
    ) {
        let model = if finetune { format!("{mapper}_gpt") } else { mapper.to_owned() };
        let run = |builder: &mut Self, model: &str, seed: u64| {
            let name = format!("{}_{model}", dataset.name);
            let training = Training { seed, seeds: Vec::new(), ..builder.config.train.clone() };
            let train = builder.train(&name, dataset, (mapper, finetune, training), tokenize, gpt2);
            let caption = builder.caption(&name, dataset, train, gpt2);
            builder.score(dataset, model, caption, false)
        };
        let seeds = self.config.train.seeds.clone();
        if let [] | [_] = seeds[..] {
            run(self, &model, seeds.first().copied().unwrap_or(self.config.train.seed));
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
            model: model.clone(),
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
        // A scratch encoder has learnt from the train split of the dataset that owns the images.
        let base = self.config.datasets.get(dataset.name).and_then(|dataset| dataset.images_of.as_ref());
        let base = base.filter(|_| self.config.models.clip == models::SCRATCH);
        if let Some(base) = base.and_then(|base| self.graph.find(&format!("ingest/{base}"))) {
            reads.push(output("encoder_images", base, "images", &["split", "digest"]));
        }
        let mapper = self.config.mappers[mapper].clone();
        self.graph.add(name, Stage::Train(Train { language: dataset.language, finetune, mapper, train }), reads)
    }

    fn caption(
        &mut self,
        name: &str,
        dataset: &Dataset<'_>,
        train: NodeId,
        gpt2: &dyn Fn(models::Role) -> From,
    ) -> NodeId {
        let language = dataset.language;
        self.graph.add(
            name,
            Stage::Caption(Caption {
                language,
                split: self.config.caption.split,
                max_tokens: self.config.caption.max_tokens.get(&language).copied().unwrap_or(67),
                decoding: self.config.caption.decoding.clone(),
            }),
            vec![
                output("images", dataset.ingest, "images", &["image_id", "split", "digest"]),
                output("embeddings", dataset.embed, "embeddings", &["digest", "vector"]),
                output("weights", train, "weights", &[]),
                Input { name: "gpt2".into(), from: gpt2(models::Role::LanguageModel) },
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
