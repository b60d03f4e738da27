//! The scene class of an image, where its file name tells.

use std::collections::BTreeSet;

/// The classes of UC Merced Land Use in alphabetical order, which is that of its images: 100 each.
const UC_MERCED: [&str; 21] = [
    "agricultural",
    "airplane",
    "baseballdiamond",
    "beach",
    "buildings",
    "chaparral",
    "denseresidential",
    "forest",
    "freeway",
    "golfcourse",
    "harbor",
    "intersection",
    "mediumresidential",
    "mobilehomepark",
    "overpass",
    "parkinglot",
    "river",
    "runway",
    "sparseresidential",
    "storagetanks",
    "tenniscourt",
];

/// The class of each file name: `class_N.ext` in a set with several such classes, `N.tif` in a set that is exactly
/// UCM's 1 to 2,100, otherwise none.
pub(super) fn classes(filenames: &[&str]) -> Vec<Option<String>> {
    let numbers: Option<Vec<usize>> = filenames.iter().map(|name| ucm_number(name)).collect();
    if let Some(numbers) = numbers.filter(|numbers| are_one_to_n(numbers, UC_MERCED.len() * 100)) {
        return numbers.iter().map(|number| Some(UC_MERCED[(number - 1) / 100].to_owned())).collect();
    }
    let named: Vec<Option<&str>> = filenames.iter().map(|name| prefix(name)).collect();
    // One prefix for all (`img_1.jpg`, `img_2.jpg`) is a habit, not a class.
    if named.iter().flatten().collect::<BTreeSet<_>>().len() < 2 {
        return vec![None; filenames.len()];
    }
    named.into_iter().map(|class| class.map(str::to_owned)).collect()
}

fn ucm_number(name: &str) -> Option<usize> {
    name.strip_suffix(".tif")?.parse().ok()
}

fn are_one_to_n(numbers: &[usize], n: usize) -> bool {
    let distinct: BTreeSet<_> = numbers.iter().collect();
    numbers.len() == n && distinct.len() == n && numbers.iter().all(|number| (1..=n).contains(number))
}

/// `airport` of `airport_12.jpg`.
fn prefix(name: &str) -> Option<&str> {
    let (stem, _) = name.rsplit_once('.')?;
    let (class, number) = stem.rsplit_once('_')?;
    let is_class = !class.is_empty() && class.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_class && is_number).then_some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_by_name() {
        let of = |names: &[&str]| -> Vec<Option<String>> { classes(names) };
        let some = |class: &str| Some(class.to_owned());
        assert_eq!(of(&["pond_1.jpg", "port_22.jpg", "00001.jpg"]), [some("pond"), some("port"), None]);
        assert_eq!(of(&["img_1.jpg", "img_2.jpg"]), [None, None], "one prefix is no class");
        assert_eq!(of(&["pond_x.jpg", "Port_1.jpg", "_1.jpg", "pond_1"]), [None, None, None, None]);
        assert_eq!(of(&["1.tif", "101.tif"]), [None, None], "a part of UCM is not UCM");
    }

    #[test]
    fn all_of_ucm_has_classes_whatever_the_order() {
        let names: Vec<String> = (1..=2100).rev().map(|number| format!("{number}.tif")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let got = classes(&names);
        assert_eq!(got[0].as_deref(), Some("tenniscourt"), "2100.tif");
        assert_eq!(got[2000].as_deref(), Some("agricultural"), "100.tif");
        assert_eq!(got[1999].as_deref(), Some("airplane"), "101.tif");
        assert_eq!(classes(&names[1..]), vec![None; 2099]);
    }
}
