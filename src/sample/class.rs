//! The land-use classes of the sample and the words that name them.

use crate::language::Language;

/// A land-use class as the demo sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassInfo {
    /// Its name in `classes.json`, one lower-case word.
    pub name: &'static str,
    /// English words, lower case; any of them in a caption names the class.
    pub noun_en: &'static [&'static str],
    /// Chinese words; any of them in a caption names the class.
    pub noun_zh: &'static [&'static str],
}

/// A land-use class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Agricultural,
    Airplane,
    Baseball,
    Beach,
    Chaparral,
    Residential,
    Forest,
    Freeway,
    Golf,
    Harbor,
    Intersection,
    Parking,
    Railway,
    River,
    Tanks,
    Tennis,
}

impl Class {
    /// All classes, in the order of the dataset.
    pub(super) const ALL: [Self; 16] = [
        Self::Agricultural,
        Self::Airplane,
        Self::Baseball,
        Self::Beach,
        Self::Chaparral,
        Self::Residential,
        Self::Forest,
        Self::Freeway,
        Self::Golf,
        Self::Harbor,
        Self::Intersection,
        Self::Parking,
        Self::Railway,
        Self::River,
        Self::Tanks,
        Self::Tennis,
    ];

    /// The class's name and nouns.
    pub(super) fn info(self) -> &'static ClassInfo {
        &INFOS[self as usize]
    }
}

const fn class(name: &'static str, noun_en: &'static [&'static str], noun_zh: &'static [&'static str]) -> ClassInfo {
    ClassInfo { name, noun_en, noun_zh }
}

/// In the order of [`Class::ALL`]. No noun may stand in the captions of another class.
static INFOS: [ClassInfo; 16] = [
    class("agricultural", &["farmland", "cropland"], &["农田", "耕地"]),
    class("airplane", &["airplane", "airplanes", "plane", "planes"], &["飞机"]),
    class("baseballdiamond", &["baseball"], &["棒球场"]),
    class("beach", &["beach"], &["海滩", "沙滩"]),
    class("chaparral", &["chaparral", "shrubs"], &["灌木"]),
    class("denseresidential", &["residential"], &["住宅区", "居民区"]),
    class("forest", &["forest", "woods"], &["森林", "树林"]),
    class("freeway", &["freeway", "highway"], &["高速公路"]),
    class("golfcourse", &["golf"], &["高尔夫"]),
    class("harbor", &["harbor", "marina"], &["港口", "码头"]),
    class("intersection", &["intersection", "crossroads"], &["路口"]),
    class("parkinglot", &["parking"], &["停车场"]),
    class("railway", &["railway", "railroad"], &["铁路", "铁轨"]),
    class("river", &["river"], &["河"]),
    class("storagetanks", &["tank", "tanks"], &["储罐", "油罐"]),
    class("tenniscourt", &["tennis"], &["网球"]),
];

/// The classes of the sample, in the order of the dataset.
pub fn classes() -> &'static [ClassInfo] {
    &INFOS
}

/// Whether `caption` names the class `class` (a [`ClassInfo::name`]) by any of its nouns.
///
/// English nouns are compared word by word without regard to case, Chinese ones anywhere in the text,
/// blanks left out. An unknown class is named by no caption.
pub fn names_class(caption: &str, language: Language, class: &str) -> bool {
    let Some(info) = INFOS.iter().find(|info| info.name == class) else {
        return false;
    };
    match language {
        Language::En => {
            let lower = caption.to_lowercase();
            lower.split(|c: char| !c.is_alphanumeric()).any(|word| info.noun_en.contains(&word))
        }
        Language::Zh => {
            let closed: String = caption.chars().filter(|c| !c.is_whitespace()).collect();
            info.noun_zh.iter().any(|noun| closed.contains(noun))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_classes_and_infos_agree() {
        assert!(Class::ALL.iter().enumerate().all(|(place, &class)| class as usize == place));
        let names: std::collections::BTreeSet<_> = INFOS.iter().map(|info| info.name).collect();
        assert_eq!(names.len(), INFOS.len());
    }

    #[test]
    fn nouns_are_found_as_words() {
        let rows = [
            ("a word", "Two planes are parked .", Language::En, "airplane", true),
            ("upper case, full stop joined", "A wide RIVER.", Language::En, "river", true),
            ("only part of a word", "Many plants stand here .", Language::En, "airplane", false),
            ("another class", "Two planes are parked .", Language::En, "river", false),
            ("an unknown class", "Two planes are parked .", Language::En, "plane", false),
            ("Chinese", "这是一片网球场.", Language::Zh, "tenniscourt", true),
            ("Chinese with blanks between characters", "这 是 一 片 网 球 场 .", Language::Zh, "tenniscourt", true),
            ("English noun, Chinese asked", "A river .", Language::Zh, "river", false),
        ];
        for (name, caption, language, class, expected) in rows {
            assert_eq!(names_class(caption, language, class), expected, "{name}");
        }
    }
}
