//! The columns of every table, each written once.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    Arc::new(Schema::new(
        fields.iter().map(|(name, kind, null)| Field::new(*name, kind.clone(), *null)).collect::<Vec<_>>(),
    ))
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, false)))
}

/// `annotations`: one row per image, in published order. `class` is null where the file name tells none.
pub fn entries() -> SchemaRef {
    schema(&[
        ("image_id", DataType::UInt32, false),
        ("filename", DataType::Utf8, false),
        ("split", DataType::Utf8, false),
        ("class", DataType::Utf8, true),
    ])
}

/// `ingest`: one row per image, in published order.
///
/// `digest` is the digest of the decoded RGB pixels, so a file saved anew with equal pixels keeps it;
/// `file_digest` is that of the file's bytes. `class` is null where the file name tells none.
pub fn images() -> SchemaRef {
    schema(&[
        ("image_id", DataType::UInt32, false),
        ("filename", DataType::Utf8, false),
        ("split", DataType::Utf8, false),
        ("class", DataType::Utf8, true),
        ("digest", DataType::Utf8, false),
        ("file_digest", DataType::Utf8, false),
        ("width", DataType::UInt32, false),
        ("height", DataType::UInt32, false),
    ])
}

/// `annotations`: one row per reference sentence, in published order.
pub fn sentences() -> SchemaRef {
    schema(&[
        ("image_id", DataType::UInt32, false),
        ("sent_id", DataType::UInt32, false),
        ("language", DataType::Utf8, false),
        ("raw", DataType::Utf8, false),
    ])
}

/// `annotations` (text) and `ingest` (pixels): one row per finding of the linter.
pub fn lint() -> SchemaRef {
    schema(&[
        ("kind", DataType::Utf8, false),
        ("image_id", DataType::UInt32, true),
        ("sent_id", DataType::UInt32, true),
        ("detail", DataType::Utf8, false),
    ])
}

/// `annotations`: one row that names the edition of the annotation file.
pub fn edition() -> SchemaRef {
    schema(&[
        ("edition", DataType::Utf8, false),
        ("language", DataType::Utf8, false),
        ("split_digest", DataType::Utf8, false),
        ("captions_digest", DataType::Utf8, false),
        ("images", DataType::UInt32, false),
        ("sentences", DataType::UInt32, false),
    ])
}

/// `tokenize`: one row per sentence; `ids` ends with the end-of-text token.
pub fn tokens() -> SchemaRef {
    schema(&[
        ("image_id", DataType::UInt32, false),
        ("sent_id", DataType::UInt32, false),
        ("ids", list_of(DataType::UInt32), false),
    ])
}

/// `tokenize`: token counts per split (end-of-text included).
pub fn lengths() -> SchemaRef {
    schema(&[
        ("split", DataType::Utf8, false),
        ("sentences", DataType::UInt32, false),
        ("min", DataType::UInt32, false),
        ("mean", DataType::Float64, false),
        ("p50", DataType::UInt32, false),
        ("p95", DataType::UInt32, false),
        ("max", DataType::UInt32, false),
    ])
}

/// `embed`: one row per distinct image, un-normalised projected CLIP vector of size `dim`.
pub fn embeddings(dim: usize) -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    schema(&[
        ("digest", DataType::Utf8, false),
        ("vector", DataType::FixedSizeList(item, i32::try_from(dim).unwrap_or(i32::MAX)), false),
    ])
}

/// `features`: one row per distinct image. `map` holds `height * width * channels` numbers (16-bit or 32-bit floats): cells row by
/// row, the channels of a cell together.
pub fn features(numbers: usize, float: DataType) -> SchemaRef {
    let item = Arc::new(Field::new("item", float, false));
    schema(&[
        ("digest", DataType::Utf8, false),
        ("height", DataType::UInt32, false),
        ("width", DataType::UInt32, false),
        ("channels", DataType::UInt32, false),
        ("map", DataType::FixedSizeList(item, i32::try_from(numbers).unwrap_or(i32::MAX)), false),
    ])
}

/// `tokenize` of the attention baseline: one row per word, by id; `count` is its number in the train captions, null for the special words.
pub fn vocabulary() -> SchemaRef {
    schema(&[("id", DataType::UInt32, false), ("word", DataType::Utf8, false), ("count", DataType::UInt32, true)])
}

/// `tokenize` of the attention baseline: one row per caption of the validation images.
pub fn references() -> SchemaRef {
    schema(&[("image_id", DataType::UInt32, false), ("raw", DataType::Utf8, false)])
}

/// `train` of the attention baseline: one row per epoch; losses are nats per word, `val_bleu_4` and `val_cider_d` are of free-running
/// captions of the validation images; `best` marks the epoch whose weights are kept.
pub fn attention_history() -> SchemaRef {
    schema(&[
        ("epoch", DataType::UInt32, false),
        ("step", DataType::UInt32, false),
        ("lr", DataType::Float64, false),
        ("train_loss", DataType::Float64, false),
        ("val_loss", DataType::Float64, true),
        ("val_bleu_4", DataType::Float64, true),
        ("val_cider_d", DataType::Float64, true),
        ("best", DataType::Boolean, false),
    ])
}

/// `train` and `pretrain`: one row per epoch; `best` marks the one whose weights are kept.
pub fn history() -> SchemaRef {
    schema(&[
        ("epoch", DataType::UInt32, false),
        ("step", DataType::UInt32, false),
        ("lr", DataType::Float64, false),
        ("train_loss", DataType::Float64, false),
        ("val_loss", DataType::Float64, true),
        ("best", DataType::Boolean, false),
    ])
}

/// `train` of a checkpoint that another program wrote: one row per tensor of its file.
pub fn tensors() -> SchemaRef {
    schema(&[
        ("name", DataType::Utf8, false),
        ("part", DataType::Utf8, false),
        ("dtype", DataType::Utf8, false),
        ("shape", list_of(DataType::UInt32), false),
        ("elements", DataType::UInt64, false),
    ])
}

/// `caption`: one row per image of the captioned split; `tokens` are the generated ids, stop token included.
///
/// `log_prob` is null for captions that no language model of ours wrote.
pub fn captions() -> SchemaRef {
    schema(&[
        ("image_id", DataType::UInt32, false),
        ("caption", DataType::Utf8, false),
        ("tokens", list_of(DataType::UInt32), false),
        ("log_prob", DataType::Float64, true),
    ])
}

/// `caption` of the attention baseline where its weights are kept: `captions`, and per image `attention`, the weights of all cells (row by
/// row) at each token; those of a token add up to 1.
pub fn captions_with_attention() -> SchemaRef {
    let mut fields = captions().fields().to_vec();
    fields.push(Arc::new(Field::new("attention", list_of(DataType::Float32), false)));
    Arc::new(Schema::new(fields))
}

/// `caption/nbest`: all captions of every image where several are asked for; rank 1 is the one of `captions`.
pub fn nbest() -> SchemaRef {
    schema(&[
        ("image_id", DataType::UInt32, false),
        ("rank", DataType::UInt32, false),
        ("caption", DataType::Utf8, false),
        ("tokens", list_of(DataType::UInt32), false),
        ("log_prob", DataType::Float64, false),
    ])
}

/// `caption/*_human`: the sentences that are no references because a caption is one of them.
pub fn held_out() -> SchemaRef {
    schema(&[("image_id", DataType::UInt32, false), ("sent_id", DataType::UInt32, false)])
}

/// `score`: one row per metric over the whole split, with all that a reader needs to know what was measured.
///
/// `value` is null where a metric could not be computed; `note` says why. `ci_low` and `ci_high` bound the bootstrap
/// interval over images (95 %, or `[score] confidence`). With several runs (training seeds), `value` is their mean and
/// `sd` their standard deviation. `references_least` and `references_most` are the numbers of references of an image, `split_images` is
/// the number of images of the split (`n` of them were scored),
/// `resource` is the digest of what a metric needs besides. `signature` is the text to paste into a paper.
pub fn scores() -> SchemaRef {
    schema(&[
        ("dataset", DataType::Utf8, false),
        ("edition", DataType::Utf8, false),
        ("model", DataType::Utf8, false),
        ("split", DataType::Utf8, false),
        ("language", DataType::Utf8, false),
        ("metric", DataType::Utf8, false),
        ("variant", DataType::Utf8, false),
        ("value", DataType::Float64, true),
        ("ci_low", DataType::Float64, true),
        ("ci_high", DataType::Float64, true),
        ("n", DataType::UInt32, false),
        ("runs", DataType::UInt32, false),
        ("sd", DataType::Float64, true),
        ("words", DataType::Utf8, false),
        ("split_digest", DataType::Utf8, false),
        ("references_digest", DataType::Utf8, false),
        ("references_least", DataType::UInt32, false),
        ("references_most", DataType::UInt32, false),
        ("split_images", DataType::UInt32, false),
        ("resource", DataType::Utf8, true),
        ("rsic_version", DataType::Utf8, false),
        ("signature", DataType::Utf8, false),
        ("note", DataType::Utf8, true),
    ])
}

/// `score`: one row per image and metric; null where the metric is not defined for the image.
pub fn image_scores() -> SchemaRef {
    schema(&[
        ("image_id", DataType::UInt32, false),
        ("metric", DataType::Utf8, false),
        ("variant", DataType::Utf8, false),
        ("value", DataType::Float64, true),
    ])
}

/// `score`: what each image adds to the sums that decide corpus values, one row per run, metric family and image.
pub fn statistics() -> SchemaRef {
    schema(&[
        ("run", DataType::UInt32, false),
        ("family", DataType::Utf8, false),
        ("variant", DataType::Utf8, false),
        ("image_id", DataType::UInt32, false),
        ("numbers", list_of(DataType::Float64), false),
    ])
}

/// `score` of several runs: one row per run and metric.
pub fn runs() -> SchemaRef {
    schema(&[
        ("run", DataType::UInt32, false),
        ("seed", DataType::UInt64, false),
        ("metric", DataType::Utf8, false),
        ("variant", DataType::Utf8, false),
        ("value", DataType::Float64, true),
    ])
}

/// `spice`: one row per image and part of the scene graph (`All`, `Object`, `Relation`, `Attribute`, ...); `program` is the
/// digest of the program that was run.
pub fn spice() -> SchemaRef {
    schema(&[
        ("image_id", DataType::UInt32, false),
        ("part", DataType::Utf8, false),
        ("f", DataType::Float64, true),
        ("precision", DataType::Float64, true),
        ("recall", DataType::Float64, true),
        ("program", DataType::Utf8, false),
    ])
}
