//! Made-up files for every oddity, hostile files, and the published files with their published counts.

mod golden;
mod hostile;
mod oddities;

use serde_json::{Value, json};

use super::Finding;

/// An annotation file of our own: two train, one val and two test images with two captions each.
fn sound() -> Value {
    let image = |id: u32, split: &str, captions: [(&str, &str); 2]| {
        let sentence = |(index, (en, zh)): (usize, &(&str, &str))| {
            let tokens: Vec<&str> = en.trim_end_matches(" .").split(' ').collect();
            json!({
                "raw": en, "tokens": tokens, "imgid": id, "sentid": id * 2 + index as u32,
                "raw_chinese": zh, "tokens_chinese": [zh],
            })
        };
        let sentences: Vec<Value> = captions.iter().enumerate().map(sentence).collect();
        json!({
            "imgid": id, "filename": format!("{}.tif", id + 1), "split": split,
            "sentids": [id * 2, id * 2 + 1], "sentences": sentences,
        })
    };
    json!({ "dataset": "any", "images": [
        image(0, "train", [("A plane on a runway .", "跑道上有飞机."), ("One plane stands still .", "一架飞机.")]),
        image(1, "train", [("A wide river .", "河很宽."), ("Water flows south .", "水向南流.")]),
        image(2, "val", [("Green fields .", "绿色的田野."), ("Fields in rows .", "成排的田野.")]),
        image(3, "test", [("Ships in a port .", "港口里的船."), ("A crowded port .", "拥挤的港口.")]),
        image(4, "test", [("Sand and waves .", "沙滩和海浪."), ("A long beach .", "长长的海滩.")]),
    ] })
}

/// The findings as (kind, image, sentence), without the one that every made-up file has.
fn kinds(findings: &[Finding]) -> Vec<(&'static str, Option<u32>, Option<u32>)> {
    let rows = findings.iter().map(|finding| (finding.kind.name(), finding.image_id, finding.sent_id));
    rows.filter(|(kind, _, _)| *kind != "unknown_edition").collect()
}
