//! DuckDB and pandas read every kind of output, by stable path and by glob, with its lineage.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::Sandbox;

const SCRIPT: &str = r#"
import glob, json, os, sys
import duckdb, pandas, pyarrow.parquet

root = sys.argv[1]
os.chdir(root)
files = sorted(glob.glob("output/**/*.parquet", recursive=True))
kinds = sorted({os.path.dirname(f) for f in files})
assert len(kinds) >= 10, kinds
for kind in kinds:
    pattern = f"{kind}/*.parquet"
    both = duckdb.sql(f"select count(*) from read_parquet('{pattern}')").fetchall()[0][0]
    one = sum(len(pandas.read_parquet(f)) for f in glob.glob(pattern))
    assert both == one, (pattern, both, one)
for f in files:
    duck = duckdb.sql(f"select * from '{f}'").df()
    panda = pandas.read_parquet(f)
    assert list(duck.columns) == list(panda.columns) and len(duck) == len(panda), f
    meta = pyarrow.parquet.read_metadata(f).metadata
    lineage = json.loads(meta[b"rsic.lineage"])
    assert len(lineage["key"]) == 64 and lineage["stage"], f
    rows = duckdb.sql(f"select decode(value) from parquet_kv_metadata('{f}') where decode(key) = 'rsic.lineage'")
    assert json.loads(rows.fetchall()[0][0]) == lineage, f
scores = duckdb.sql("select metric, value from 'output/score/*.parquet' where model = 'amht'").df()
assert set(scores.metric) >= {"BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr-D"}, scores
vectors = pandas.read_parquet("output/embed/ucm.parquet").vector
assert len({len(v) for v in vectors}) == 1
joined = duckdb.sql("""
    select i.filename, c.caption, list_distinct(list(s.raw)) as refs
    from 'output/ingest/ucm.parquet' i
    join 'output/caption/ucm_amht.parquet' c using (image_id)
    join 'output/annotations/sentences/ucm.parquet' s using (image_id)
    group by all""").df()
assert len(joined) == len(pandas.read_parquet("output/caption/ucm_amht.parquet"))
print("kinds", len(kinds), "files", len(files))
"#;

/// A virtual environment with the readers, kept in the target folder; `None` where Python or a package index is missing.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-venv");
    let python = venv.join("bin/python");
    let works = |python: &Path| {
        let check = Command::new(python).args(["-c", "import duckdb, pandas, pyarrow"]).output();
        check.is_ok_and(|output| output.status.success())
    };
    if works(&python) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output();
    if !made.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no python3 with venv on this machine");
        return None;
    }
    let pip = Command::new(&python).args(["-m", "pip", "install", "-q", "duckdb", "pandas", "pyarrow"]).output();
    if works(&python) {
        return Some(python);
    }
    println!("SKIPPED: duckdb, pandas and pyarrow cannot be installed: {pip:?}");
    None
}

#[test]
fn duckdb_and_pandas_read_every_output() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::with_models();
    sandbox.rsic(&["build", "score/ucm_constant", "ingest/ucm_cn", "pretrain/ucm_cn_gpt2"]).ok();
    let script = sandbox.path("read.py");
    std::fs::write(&script, SCRIPT).unwrap();
    let output = Command::new(python).arg(&script).arg(&sandbox.root).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.starts_with("kinds "), "{out}");
}
