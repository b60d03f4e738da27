//! File systems for one test: scripts in a mount namespace of their own, which goes away with them.

use std::process::{Command, Stdio};

use crate::sandbox::Sandbox;

/// How to get such a namespace; says so and returns `None` where the system gives none.
pub(crate) fn way() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--map-root-user", "--mount"]];
    let found = ways.into_iter().find(|way| {
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).args(["sh", "-c", "mount -t tmpfs none /mnt"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    if found.is_none() {
        println!("SKIPPED: neither `unshare --mount` nor `unshare --map-root-user --mount` can mount anything here");
    }
    found
}

/// A shell script in such a namespace, with the environment of a sandboxed command.
pub(crate) fn script(way: &[&str], sandbox: &Sandbox, text: &str) -> Command {
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).args(["sh", "-c", text, "sh"]);
    same_environment(&sandbox.command(&[]), &mut command);
    command
}

/// Gives a command the environment of another one.
pub(crate) fn same_environment(from: &Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}
