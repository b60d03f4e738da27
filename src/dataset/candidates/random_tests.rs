//! Files changed at random: they may be read or refused, but never cause a panic or a message without the file's name.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::language::Split;

/// One of each format.
const SOUND: [&str; 5] = [
    "{\"12\": \"a plane .\",\n \"7.tif\": [\"b\"], \"0\": \"\\ud83d\\ude00 \u{4e2d}\"}",
    "[{\"image_id\": 12, \"caption\": \"a\", \"id\": 1.5}, {\"filename\": \"i/7.tif\", \"imgid\": 3, \"caption\": \"b\"}]",
    "{\"info\": {}, \"annotations\": [{\"image_id\": 12, \"caption\": \"a\"}], \"images\": [{\"id\": 1}]}",
    "{\"image_id\": 12, \"caption\": \"a\"}\n\n{\"image\": \"7.tif\", \"caption\": \"b\"}\r\n",
    "image_id,file_name,caption\r\n12,,\"a \"\"b\"\",\nc\"\n\n,7.tif,d\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        which in 0..SOUND.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\\n\r\t'0-.Nu".to_vec())], 0..3), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        file in prop::sample::select(vec!["x.json", "x.jsonl", "x.csv", "x.tsv", "x"]),
    ) {
        let mut bytes = SOUND[which].as_bytes().to_vec();
        for (at, value, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ if bytes.len() > 1 => _ = bytes.remove(at),
                _ => {}
            }
        }
        let length = cut.map_or(bytes.len(), |at| at.index(bytes.len()));
        match read(&bytes[..length], file) {
            Err(error) => prop_assert!(error.to_string().starts_with(file), "{error}"),
            Ok(entries) => {
                let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
                prop_assert!(entries.iter().all(|entry| (1..=lines).contains(&entry.line)));
                let target = Target { image_id: 12, filename: "7.tif", split: Split::Test };
                _ = assign(entries, &[target], Split::Test, true, file);
            }
        }
    }

    #[test]
    fn what_others_write_is_read_byte_for_byte(captions in prop::collection::vec(any::<String>(), 1..6)) {
        let record = |(id, caption): (usize, &String)| json!({"image_id": id, "caption": caption}).to_string();
        let records: Vec<String> = captions.iter().enumerate().map(record).collect();
        let pairs: serde_json::Map<_, _> = captions.iter().enumerate().map(|(id, caption)| (id.to_string(), json!(caption))).collect();
        let table = |delimiter| {
            let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
            writer.write_record(["image_id", "caption"]).unwrap();
            for (id, caption) in captions.iter().enumerate() {
                writer.write_record([&id.to_string(), caption]).unwrap();
            }
            String::from_utf8(writer.into_inner().unwrap()).unwrap()
        };
        for text in [
            serde_json::to_string(&pairs).unwrap(),
            format!("[{}]", records.join(",")),
            records.join("\n"),
            table(b','),
            table(b'\t'),
        ] {
            let entries = read(text.as_bytes(), "x").unwrap();
            let found = entries.into_iter().map(|entry| (entry.key, entry.caption)).collect::<Vec<_>>();
            let want = captions.iter().enumerate().map(|(id, caption)| (ImageKey::Id(id as u32), caption.clone()));
            prop_assert_eq!(found, want.collect::<Vec<_>>(), "{}", text);
        }
    }
}
