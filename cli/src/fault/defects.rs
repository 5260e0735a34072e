//! The mistakes in what the controller decides and reports.

use torpor_controller::Defect;

use super::{Culprit, Fault, Hooks, controller};

macro_rules! installs {
    ($defect:ident) => {
        || Hooks {
            defect: Some(Defect::$defect),
            ..Hooks::default()
        }
    };
}

pub(super) const FAULTS: &[Fault] = &[
    controller(
        Defect::PausedBeforePodGone.name(),
        "reports Paused as soon as it is asked for, while the Pod still runs",
        installs!(PausedBeforePodGone),
    )
    .breaks(
        &["ZERO-01", "ZERO-05", "FSM-12"],
        &[
            "paused-is-never-early",
            "paused-has-no-pod",
            "a-pod-that-will-not-end-keeps-it-pausing",
        ],
    )
    .touches(&["CTX", "DEL", "E2B-03", "FSM"]),
    controller(
        Defect::PausedKeepsPod.name(),
        "reports Paused once the context is kept, and leaves the frozen Pod where it is",
        installs!(PausedKeepsPod),
    )
    .breaks(
        &["ZERO-01", "ZERO-03"],
        &["paused-has-no-pod", "pausing-makes-room-on-a-full-node"],
    )
    .touches(&["ZERO", "CTX", "DEL", "E2B-03", "FSM"]),
    controller(
        Defect::ResumeStartsFresh.name(),
        "resumes with a Pod that knows of no checkpoint",
        installs!(ResumeStartsFresh),
    )
    .breaks(
        &["CTX-01", "CTX-02", "CTX-06"],
        &[
            "interpreter-state-survives@kubernetes",
            "files-survive@e2b",
            "every-write-of-five-cycles-survives@e2b",
        ],
    ),
    controller(
        Defect::SecondCheckpointIgnored.name(),
        "resumes every time from the first checkpoint",
        installs!(SecondCheckpointIgnored),
    )
    .breaks(
        &["CTX-06"],
        &["every-write-of-five-cycles-survives@kubernetes", "sim-3-1"],
    )
    .spares(&["open-contexts-survive"]),
    Fault::new(
        Defect::CheckpointLeaksOnDelete.name(),
        Culprit::Store,
        "leaves the checkpoint data behind when a sandbox is deleted",
        installs!(CheckpointLeaksOnDelete),
    )
    .breaks(
        &["DEL-01", "DEL-07"],
        &[
            "deleting-a-paused-sandbox-frees-its-storage@kubernetes",
            "deleting-a-paused-sandbox-frees-its-storage@e2b",
            "deleting-in-any-state-frees-its-storage",
            "deleting-a-paused-sandbox-is-final@kubernetes",
        ],
    )
    .spares(&["deleting-while-running"]),
    controller(
        Defect::PauseTimeBounces.name(),
        "pauses whenever the pause time lies in the past, also right after a resume by hand",
        installs!(PauseTimeBounces),
    )
    .breaks(&["TIME-05"], &["a-past-pause-time-does-not-pause-again"]),
    controller(
        Defect::ForgetsObservedGeneration.name(),
        "reports without observedGeneration",
        installs!(ForgetsObservedGeneration),
    )
    .breaks(&["FSM-01"], &["pause-and-resume-reach-their-state"])
    // The history of every case shows it.
    .touches(&["CTX", "ZERO", "DEL", "E2B-03", "FSM"]),
    controller(
        Defect::LostStateStartsFresh.name(),
        "starts afresh, as if nothing had been, when the Pod of a running sandbox is lost",
        installs!(LostStateStartsFresh),
    )
    .breaks(
        &["FSM-08"],
        &["a-lost-pod-is-reported@kubernetes", "a-lost-pod-is-reported@e2b"],
    ),
    controller(
        Defect::FailedRestoreStartsFresh.name(),
        "drops a checkpoint that cannot be restored, and starts afresh",
        installs!(FailedRestoreStartsFresh),
    )
    .breaks(&["CTX-09", "FSM-07"], &["a-damaged-checkpoint-is-not-served"]),
    controller(
        Defect::FailedPauseEndsPod.name(),
        "ends the Pod of a sandbox whose pause failed",
        installs!(FailedPauseEndsPod),
    )
    .breaks(&["FSM-06"], &["a-pause-that-cannot-be-taken-is-called-off"]),
];
