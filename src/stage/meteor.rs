//! `resource/meteor`: METEOR's own files -> one compact table, made once.

use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::{Context, Inputs, Outcome};
use crate::metric::meteor::{Sources, compile};

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `jar` (meteor-1.5.jar) and `paraphrases` (paraphrase-en.gz); writes `table`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeteorTables {}

impl MeteorTables {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        context.progress.begin("tables", 1, "tables");
        let (jar, paraphrases) = (inputs.path("jar")?, inputs.path("paraphrases")?);
        let file = std::fs::File::open(jar).with_context(|| format!("cannot read {}", jar.display()))?;
        let mut archive = zip::ZipArchive::new(file).with_context(|| format!("{} is no jar", jar.display()))?;
        let mut entry = |name: &str| -> Result<Vec<u8>> {
            let what = || format!("{} has no readable {name}: is it METEOR 1.5?", jar.display());
            let mut bytes = Vec::new();
            archive.by_name(name).with_context(what)?.read_to_end(&mut bytes).with_context(what)?;
            Ok(bytes)
        };
        let function_words = entry("function/english.words")?;
        let synsets = entry("synonym/english.synsets")?;
        let exceptions = entry("synonym/english.exceptions")?;
        let prefixes = entry("nonbreaking/english.prefixes")?;
        let table = compile(Sources {
            function_words: &function_words,
            synsets: &synsets,
            exceptions: &exceptions,
            prefixes: &prefixes,
            paraphrases: &mut unpacked(paraphrases)?,
        })
        .with_context(|| format!("cannot use {} and {}", jar.display(), paraphrases.display()))?;
        context.progress.advance(1);
        let mut outcome = Outcome::default();
        outcome.bytes("table", table, "bin");
        Ok(outcome)
    }
}

fn unpacked(path: &Path) -> Result<impl Read> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(MultiGzDecoder::new(std::io::BufReader::new(file)))
}
