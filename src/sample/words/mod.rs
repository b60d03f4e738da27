//! The sentences of the sample: templates of both languages and how they are filled.
//!
//! A template names facts as `{slot}` and offers alternatives as `[one|two]`; alternatives may hold slots and
//! other alternatives. It fits a scene when the scene has all its slots. The first letter and the full stop are added.

mod chinese;
mod english;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::class::Class;
use super::facts::Facts;
use super::random::Rng;
use crate::language::Language;

/// How often the first of several alternatives is taken without looking at the others.
const USUAL: f32 = 0.5;

/// How many sentences every image gets in each language.
pub(super) const PER_IMAGE: usize = 5;

fn templates(class: Class, language: Language) -> &'static [&'static str] {
    match language {
        Language::En => english::templates(class),
        Language::Zh => chinese::templates(class),
    }
}

/// Five sentences about a scene, all different, from different templates as far as there are enough.
///
/// Fails if the templates of the class cannot say five different things about it.
pub(super) fn describe(class: Class, facts: &Facts, language: Language, rng: &mut Rng) -> Result<Vec<String>> {
    let mut fitting: Vec<&str> =
        templates(class, language).iter().copied().filter(|t| fits(t, facts, language)).collect();
    rng.shuffle(&mut fitting);
    let mut said = BTreeSet::new();
    let mut sentences = Vec::new();
    for template in fitting.iter().cycle().take(fitting.len() * 12) {
        let sentence = finish(&fill(template, facts, language, rng), language);
        if sentences.len() < PER_IMAGE && said.insert(sentence.clone()) {
            sentences.push(sentence);
        }
    }
    ensure!(sentences.len() == PER_IMAGE, "too few templates for the class {}", class.info().name);
    Ok(sentences)
}

/// The slots that a template names.
fn slots(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

fn fits(template: &str, facts: &Facts, language: Language) -> bool {
    slots(template).all(|slot| facts.get(slot, language).is_some())
}

/// Puts the facts into their slots, then chooses among the alternatives, innermost first.
fn fill(template: &str, facts: &Facts, language: Language, rng: &mut Rng) -> String {
    let mut text = template.to_owned();
    for slot in slots(template) {
        let words = facts.get(slot, language).unwrap_or_default();
        text = text.replace(&format!("{{{slot}}}"), words);
    }
    while let Some(close) = text.find(']') {
        let Some(open) = text[..close].rfind('[') else {
            break;
        };
        let choices: Vec<&str> = text[open + 1..close].split('|').collect();
        // Most people use the usual word, which stands first.
        let choice = if rng.chance(USUAL) { choices[0] } else { rng.pick(&choices) }.to_owned();
        text.replace_range(open..=close, &choice);
    }
    text
}

/// Adds what every sentence of the published datasets has: a capital and ` .`, or in Chinese `.`.
fn finish(text: &str, language: Language) -> String {
    match language {
        Language::Zh => format!("{text}."),
        Language::En => {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let mut letters = words.chars();
            let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
            format!("{first}{} .", letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_many_and_well_formed() {
        for class in Class::ALL {
            for language in [Language::En, Language::Zh] {
                let rows = templates(class, language);
                assert!(rows.len() >= 8, "{class:?} {language:?} has {} templates", rows.len());
                for row in rows {
                    assert_eq!(row.matches('[').count(), row.matches(']').count(), "{row}");
                    assert_eq!(row.matches('{').count(), row.matches('}').count(), "{row}");
                }
            }
        }
    }

    #[test]
    fn alternatives_nest_and_slots_fill() {
        let mut facts = Facts::default();
        facts.put("leaf", ["[dark|deep] green", "深绿色"]);
        let mut rng = Rng::new(1, "test", 0, "words");
        for _ in 0..20 {
            let text = finish(&fill("a [{leaf}|very [big|tall]] forest", &facts, Language::En, &mut rng), Language::En);
            let all = ["A dark green forest .", "A deep green forest .", "A very big forest .", "A very tall forest ."];
            assert!(all.contains(&text.as_str()), "{text}");
        }
        assert!(!fits("a {path}", &facts, Language::En));
    }
}
