//! Which files decide what a stage puts out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::code::Code;

/// Modules that carry bytes, time and names, but do not decide content; what they change is in the key, or in no output.
const APART: [&str; 6] = ["cache", "progress", "pipeline", "fetch", "command", "ui"];

/// All source files by module, such as `["stage", "embed"]`.
pub(super) struct Sources {
    files: BTreeMap<Vec<String>, Source>,
    crates: BTreeSet<String>,
    /// What was asked before.
    needs: RefCell<BTreeMap<Vec<String>, BTreeSet<Found>>>,
}

pub(super) struct Source {
    /// Relative to the package.
    pub(super) path: String,
    pub(super) code: Code,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// A file, by its module.
    File(Vec<String>),
    /// Another package, by the name that code uses.
    Crate(String),
}

/// How many steps a chain of re-exports may have.
const STEPS: usize = 12;

impl Sources {
    pub(super) fn read(package: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(package, &package.join("src"), &mut files);
        let manifest: toml::Table = toml::from_str(&fs::read_to_string(package.join("Cargo.toml")).unwrap()).unwrap();
        let crates = manifest["dependencies"].as_table().unwrap().keys().map(|name| name.replace('-', "_")).collect();
        Self { files, crates, needs: RefCell::default() }
    }

    pub(super) fn get(&self, module: &[String]) -> &Source {
        &self.files[module]
    }

    /// All files.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&Vec<String>, &str)> {
        self.files.iter().map(|(module, source)| (module, source.path.as_str()))
    }

    /// The file that defines what `path` in `module` names, or the package that has it.
    pub(super) fn find(&self, module: &[String], path: &[String], steps: usize) -> BTreeSet<Found> {
        let Some((first, rest)) = path.split_first().filter(|_| steps > 0) else { return BTreeSet::new() };
        let start = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            _ => return self.within(module, path, steps),
        };
        self.within(&start, rest, steps)
    }

    /// The same from `module` downwards, through its children and what it imports.
    fn within(&self, module: &[String], path: &[String], steps: usize) -> BTreeSet<Found> {
        let Some((first, rest)) = path.split_first().filter(|_| steps > 0) else { return BTreeSet::new() };
        if first == "super" {
            return self.within(&module[..module.len().saturating_sub(1)], rest, steps);
        }
        let child = [module, std::slice::from_ref(first)].concat();
        let is_module = self.files.contains_key(&child);
        let Some(source) = self.files.get(module) else { return BTreeSet::new() };
        // A module and what it hands up may have one name: `picture::decode`.
        let imports =
            source.code.imports.iter().filter(|import| import.name == *first && (!is_module || rest.is_empty()));
        let chains: Vec<_> = imports.map(|import| [import.path.as_slice(), rest].concat()).collect();
        if is_module || !chains.is_empty() {
            let below = if is_module { self.within(&child, rest, steps) } else { BTreeSet::new() };
            return chains.iter().flat_map(|chain| self.find(module, chain, steps - 1)).chain(below).collect();
        }
        if self.crates.contains(first) {
            return BTreeSet::from([Found::Crate(first.clone())]);
        }
        if ["std", "core", "alloc"].contains(&first.as_str()) {
            return BTreeSet::new();
        }
        // Defined here, or behind a `*`.
        let stars = source.code.imports.iter().filter(|import| import.name == "*");
        let behind = stars.flat_map(|star| self.find(module, &[star.path.as_slice(), path].concat(), steps - 1));
        behind.chain([Found::File(module.to_vec())]).collect()
    }

    /// The files and packages that a file needs to do its work; what it only hands on is not among them.
    fn needs(&self, module: &[String]) -> BTreeSet<Found> {
        if let Some(known) = self.needs.borrow().get(module) {
            return known.clone();
        }
        let code = &self.files[module].code;
        let imports = code.imports.iter().filter(|import| !import.public).map(|import| &import.path);
        let mut found: BTreeSet<Found> =
            imports.chain(&code.paths).flat_map(|path| self.find(module, path, STEPS)).collect();
        found.extend(self.extensions(module).into_iter().map(Found::File));
        self.needs.borrow_mut().insert(module.to_vec(), found.clone());
        found
    }

    /// Files near a module with `impl` blocks for its types.
    fn extensions(&self, module: &[String]) -> Vec<Vec<String>> {
        let this = Found::File(module.to_vec());
        let near = |other: &&Vec<String>| other.len() > 1 && module.first() == other.first() && *other != module;
        let extends = |other: &&Vec<String>| {
            let types = &self.files[*other].code.implements;
            types.iter().any(|name| self.find(other, std::slice::from_ref(name), STEPS).contains(&this))
        };
        self.files.keys().filter(near).filter(extends).cloned().collect()
    }

    /// Everything that decides what is defined by `path` in `module`: modules and packages.
    pub(super) fn closure(&self, module: &[String], path: &[String]) -> BTreeSet<Found> {
        let mut known = BTreeSet::new();
        let mut open: Vec<Found> = self.find(module, path, STEPS).into_iter().collect();
        while let Some(found) = open.pop() {
            let apart =
                matches!(&found, Found::File(module) if module.first().is_none_or(|first| APART.contains(&&**first)));
            if !apart
                && known.insert(found.clone())
                && let Found::File(module) = &found
            {
                open.extend(self.needs(module));
            }
        }
        known
    }
}

fn collect(package: &Path, folder: &Path, files: &mut BTreeMap<Vec<String>, Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(package, &path, files);
            continue;
        }
        let relative = path.strip_prefix(package).unwrap().to_str().unwrap().to_owned();
        let Some(stem) = relative.strip_suffix(".rs") else { continue };
        // Tests may reach anywhere and decide nothing.
        if stem.contains("tests") || stem == "src/main" {
            continue;
        }
        let mut module: Vec<String> = stem.split('/').skip(1).map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        let code = Code::new(&fs::read_to_string(&path).unwrap());
        files.insert(module, Source { path: relative, code });
    }
}
