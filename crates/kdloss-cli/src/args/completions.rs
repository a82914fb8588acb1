//! The options of `kdloss completions`.

use clap::Args;
use clap_complete::Shell;

/// The options of `kdloss completions`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub struct CompletionsArgs {
    /// The shell that is to complete
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  kdloss completions bash > ~/.local/share/bash-completion/completions/kdloss
  kdloss completions zsh > \"${fpath[1]}/_kdloss\"
  kdloss completions fish > ~/.config/fish/completions/kdloss.fish
  kdloss completions powershell >> $PROFILE";
