//! `rsic dag`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::Global;
use crate::pipeline::graph::From;
use crate::pipeline::{Graph, NodeId, target};
use crate::ui::Ui;

/// Draw what targets read.
#[derive(Debug, Args)]
pub struct Dag {
    /// The targets (default: all).
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How to draw.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One line per target with what it reads.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
}

impl Dag {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.peek()?;
        let graph = &workspace.graph;
        let targets = if self.targets.is_empty() {
            (0..graph.nodes.len()).collect()
        } else {
            target::resolve(graph, &self.targets)?
        };
        let nodes = graph.closure(&targets);
        ui.out(draw(graph, &nodes, self.format).trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

fn draw(graph: &Graph, nodes: &[NodeId], format: Format) -> String {
    let mut text = String::new();
    match format {
        Format::Text => {
            for &node in nodes {
                _ = writeln!(text, "{}{}", graph.name(node), reads(graph, node));
            }
        }
        Format::Mermaid => {
            text.push_str("flowchart LR\n");
            for &node in nodes {
                _ = writeln!(text, "    n{node}[\"{}\"]", graph.name(node));
            }
            edges(graph, nodes, &mut |from, to| format!("    n{from} --> n{to}\n"), &mut text);
        }
        Format::Dot => {
            text.push_str("digraph rsic {\n    rankdir=LR;\n    node [shape=box];\n");
            for &node in nodes {
                _ = writeln!(text, "    n{node} [label=\"{}\"];", graph.name(node));
            }
            edges(graph, nodes, &mut |from, to| format!("    n{from} -> n{to};\n"), &mut text);
            text.push_str("}\n");
        }
    }
    text
}

fn edges(graph: &Graph, nodes: &[NodeId], line: &mut dyn FnMut(NodeId, NodeId) -> String, text: &mut String) {
    for &node in nodes {
        for up in graph.nodes[node].upstream() {
            text.push_str(&line(up, node));
        }
    }
}

fn reads(graph: &Graph, node: NodeId) -> String {
    let sources = graph.nodes[node].inputs.iter().filter_map(|input| match &input.from {
        From::File(path) | From::Folder(path) => Some(path.display().to_string()),
        From::Model { files: Ok(files), .. } => Some(format!("model {}", files.name)),
        From::Model { files: Err(_), .. } => Some("a model that is not here".to_owned()),
        _ => None,
    });
    let upstream = graph.nodes[node].upstream().into_iter().map(|up| graph.name(up));
    let all: Vec<String> = upstream.chain(sources).collect();
    if all.is_empty() { String::new() } else { format!(" <- {}", all.join(", ")) }
}
