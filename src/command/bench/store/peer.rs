//! DVC on the same files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::files::{self, write};
use super::timed::{Timed, timed};

/// A folder that DVC works in.
pub(super) struct Dvc {
    program: PathBuf,
    folder: PathBuf,
    /// Where it remembers the hashes of unchanged files.
    memory: PathBuf,
}

impl Dvc {
    /// One stage that reads the folder of images.
    pub(super) fn of_images(program: &Path, folder: &Path) -> Result<Self> {
        let dvc = Self::init(program, folder)?;
        let stage = format!(
            "stages:\n  ingest:\n    cmd: echo done > done\n    deps:\n    - {}\n    outs:\n    - done\n",
            files::IMAGES
        );
        write(&folder.join("dvc.yaml"), stage.as_bytes())?;
        Ok(dvc)
    }

    /// Stages that each read a small file of their own and write another, recorded as if they had run.
    pub(super) fn of_stages(program: &Path, folder: &Path, count: u32) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let dvc = Self::init(program, folder)?;
        let mut stages = "stages:\n".to_owned();
        for n in 0..count {
            _ = write!(
                stages,
                "  s{n}:\n    cmd: cp in{n} out{n}\n    deps:\n    - in{n}\n    outs:\n    - out{n}:\n        cache: false\n"
            );
            for name in ["in", "out"] {
                write(&folder.join(format!("{name}{n}")), n.to_string().as_bytes())?;
            }
        }
        write(&folder.join("dvc.yaml"), stages.as_bytes())?;
        dvc.time(&["commit", "--force", "--quiet"])?;
        Ok(dvc)
    }

    fn init(program: &Path, folder: &Path) -> Result<Self> {
        let program = std::path::absolute(program)?;
        let memory = folder.join("dvc_memory");
        let dvc = Self { program, folder: folder.to_owned(), memory };
        dvc.time(&["init", "--no-scm", "--quiet"])?;
        dvc.time(&["config", "core.analytics", "false"])?;
        dvc.time(&["config", "core.check_update", "false"])?;
        dvc.time(&["config", "core.site_cache_dir", &dvc.memory.to_string_lossy()])?;
        Ok(dvc)
    }

    /// `dvc repro`.
    pub(super) fn reproduce(&self) -> Result<Timed> {
        self.time(&["repro", "--quiet"])
    }

    /// `dvc status`.
    pub(super) fn status(&self) -> Result<Timed> {
        self.time(&["status"])
    }

    /// Forgets the hashes of unchanged files.
    pub(super) fn forget(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.memory).context("the peer remembers nothing of unchanged files")
    }

    fn time(&self, args: &[&str]) -> Result<Timed> {
        timed(Command::new(&self.program).args(args).current_dir(&self.folder))
    }
}
