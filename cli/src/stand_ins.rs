//! Which parts of a cluster Torpor stands in for, and the option that leaves them to other programs.

use clap::ValueEnum;
use mock_apiserver::{Builder, StandIn};

/// A part of a cluster that Torpor stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Deletes what has lost its owners; carries out foreground and orphaning deletion
    GarbageCollector,
    /// Empties namespaces that are being deleted
    NamespaceController,
    /// Places Pods on the node stand-in (`up` only)
    Scheduler,
    /// Runs Pods, and is the only node the scheduler stand-in knows (`up` only)
    Node,
}

/// The parts that are switched off.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StandIns {
    /// Leave these parts of the cluster to programs of your own; several with commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    pub without: Vec<Part>,
}

impl StandIns {
    /// Whether Torpor plays the part.
    pub fn play(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }

    /// The API server without the parts that are its own.
    pub fn apply(&self, builder: Builder) -> Builder {
        self.without.iter().fold(builder, |builder, part| match part {
            Part::GarbageCollector => builder.without(StandIn::GarbageCollector),
            Part::NamespaceController => builder.without(StandIn::NamespaceController),
            Part::Scheduler | Part::Node => builder,
        })
    }
}
