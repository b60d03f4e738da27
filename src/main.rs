//! The program: parse, call, print the error, choose the exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    rsic::model::kernel::keep_candle_on_one_thread();
    rsic::command::Cli::parse().run()
}
