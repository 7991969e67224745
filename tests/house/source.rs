//! Rust source files as syntax trees: which modules they are, and which other modules they name.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::{
    Attribute, Item, ItemMod, ItemUse, Path, UseTree, Visibility,
    visit::{self, Visit},
};

/// A module's path from the root of its crate: `["broker", "rabbitmq", "uri"]`. The root itself is empty.
pub(crate) type Module = Vec<String>;

/// One file.
pub(crate) struct File {
    /// Its path below `src/`.
    pub(crate) path: String,
    pub(crate) module: Module,
    pub(crate) tree: syn::File,
}

impl File {
    /// Parses a file; `path` is below `src/`.
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let tree = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let stem = path.strip_suffix(".rs").expect("a Rust file");
        let mut module: Module = stem.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
            module.pop();
        }
        Self {
            path: path.to_owned(),
            module,
            tree,
        }
    }

    /// Whether it is the file of a folder, which may only declare and re-export.
    pub(crate) fn is_folder(&self) -> bool {
        self.path == "lib.rs" || self.path.ends_with("/mod.rs")
    }

    /// What a folder's file has besides declarations and re-exports.
    pub(crate) fn odd_items(&self) -> usize {
        let fits = |item: &&Item| match item {
            Item::Mod(module) => module.content.is_none() || is_test(&module.attrs),
            Item::Use(used) => !matches!(used.vis, Visibility::Inherited),
            _ => false,
        };
        self.tree.items.iter().filter(|item| !fits(item)).count()
    }
}

/// A path that a file names, as an absolute path in its crate, and the line where it stands.
pub(crate) struct Reference {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// All modules of a crate and the names that they re-export.
pub(crate) struct Crate {
    pub(crate) files: Vec<File>,
    modules: BTreeMap<Module, usize>,
    /// Names that a module has from elsewhere: `(module, name)` → absolute path.
    reexports: BTreeMap<(Module, String), Vec<String>>,
}

impl Crate {
    pub(crate) fn new(files: Vec<File>) -> Self {
        let modules: BTreeMap<_, _> = files
            .iter()
            .enumerate()
            .map(|(index, file)| (file.module.clone(), index))
            .collect();
        let mut parsed = Self {
            files,
            modules,
            reexports: BTreeMap::new(),
        };
        for file in &parsed.files {
            for item in &file.tree.items {
                let Item::Use(used) = item else { continue };
                if matches!(used.vis, Visibility::Inherited) {
                    continue;
                }
                for (path, name) in leaves(used) {
                    if let Some(path) = parsed.absolute(&file.module, &path) {
                        let key = (file.module.clone(), name);
                        parsed.reexports.insert(key, path);
                    }
                }
            }
        }
        parsed
    }

    /// The path from the root; `None` where it leads out of the crate.
    fn absolute(&self, from: &[String], path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([from, rest].concat()),
            "super" => {
                let up = &from[..from.len().checked_sub(1)?];
                match rest.first().map(String::as_str) {
                    Some("super") => self.absolute(up, rest),
                    _ => Some([up, rest].concat()),
                }
            }
            child => {
                let module = [from, &[child.to_owned()]].concat();
                let known = self.modules.contains_key(&module);
                known.then(|| [from, path].concat())
            }
        }
    }

    /// The file that defines what an absolute path names, re-exports followed. `None` for a folder as such.
    pub(crate) fn definition(&self, path: &[String]) -> Option<usize> {
        self.follow(path, 0)
    }

    fn follow(&self, path: &[String], depth: usize) -> Option<usize> {
        assert!(depth < 20, "re-exports go round in {}", path.join("::"));
        let mut module = Module::new();
        for (at, segment) in path.iter().enumerate() {
            let child = [module.as_slice(), std::slice::from_ref(segment)].concat();
            if self.modules.contains_key(&child) {
                module = child;
                continue;
            }
            let key = (module.clone(), segment.clone());
            if let Some(target) = self.reexports.get(&key) {
                let whole = [target, &path[at + 1..]].concat();
                return self.follow(&whole, depth + 1);
            }
            break;
        }
        let index = *self.modules.get(&module)?;
        (!self.files[index].is_folder()).then_some(index)
    }

    /// Every path of the crate that a file names outside its tests.
    pub(crate) fn references(&self, file: &File) -> Vec<Reference> {
        let mut reader = References {
            parsed: self,
            module: file.module.clone(),
            aliases: BTreeMap::new(),
            found: Vec::new(),
            seen: BTreeSet::new(),
            imports_only: true,
        };
        // First the imports, whose names the rest may use.
        reader.visit_file(&file.tree);
        reader.imports_only = false;
        reader.visit_file(&file.tree);
        reader.found
    }
}

struct References<'c> {
    parsed: &'c Crate,
    module: Module,
    aliases: BTreeMap<String, Vec<String>>,
    found: Vec<Reference>,
    seen: BTreeSet<Vec<String>>,
    imports_only: bool,
}

impl References<'_> {
    fn add(&mut self, path: Vec<String>, line: usize) {
        if self.seen.insert(path.clone()) {
            self.found.push(Reference { path, line });
        }
    }

    fn written_out(&mut self, segments: &[String], line: usize) {
        let Some((first, rest)) = segments.split_first() else {
            return;
        };
        let leads = ["crate", "super", "self"].contains(&first.as_str()) && !rest.is_empty();
        if leads && let Some(path) = self.parsed.absolute(&self.module, segments) {
            self.add(path, line);
        } else if !rest.is_empty()
            && let Some(alias) = self.aliases.get(first)
        {
            self.add([alias, rest].concat(), line);
        }
    }

    /// Paths in the arguments of a macro, which are no syntax tree yet.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.written_out(&std::mem::take(&mut path), line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && colons < 2 => colons += 1,
                TokenTree::Group(group) => {
                    self.written_out(&std::mem::take(&mut path), line);
                    colons = 0;
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.written_out(&std::mem::take(&mut path), line);
                    colons = 0;
                }
            }
        }
        self.written_out(&path, line);
    }
}

impl<'ast> Visit<'ast> for References<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attrs = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attrs) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, inline: &'ast ItemMod) {
        self.module.push(inline.ident.to_string());
        visit::visit_item_mod(self, inline);
        self.module.pop();
    }

    fn visit_item_use(&mut self, used: &'ast ItemUse) {
        if !self.imports_only {
            return;
        }
        let line = used.use_token.span.start().line;
        for (path, name) in leaves(used) {
            if let Some(path) = self.parsed.absolute(&self.module, &path) {
                self.aliases.insert(name, path.clone());
                self.add(path, line);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if !self.imports_only && path.leading_colon.is_none() {
            let segments = path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string());
            let line = path
                .segments
                .first()
                .map_or(0, |s| s.ident.span().start().line);
            self.written_out(&segments.collect::<Vec<_>>(), line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        if !self.imports_only {
            self.tokens(called.tokens.clone());
        }
        visit::visit_macro(self, called);
    }
}

/// Whether an item exists in tests alone.
pub(crate) fn is_test(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("cfg")
            && attr
                .parse_args::<syn::Ident>()
                .is_ok_and(|what| what == "test")
    })
}

/// Each path that a `use` imports, with the name under which it does.
fn leaves(used: &ItemUse) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    gather(&used.tree, &mut Vec::new(), &mut found);
    found
}

fn gather(tree: &UseTree, prefix: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    let with = |prefix: &[String], name: String| [prefix, &[name]].concat();
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            gather(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            let last = prefix.last().cloned().unwrap_or_default();
            found.push((prefix.clone(), last));
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            found.push((with(prefix, name.clone()), name));
        }
        UseTree::Rename(renamed) => {
            let path = with(prefix, renamed.ident.to_string());
            found.push((path, renamed.rename.to_string()));
        }
        UseTree::Glob(_) => found.push((prefix.clone(), "*".to_owned())),
        UseTree::Group(group) => {
            for tree in &group.items {
                gather(tree, prefix, found);
            }
        }
    }
}
