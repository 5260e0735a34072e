//! From what users do to a scenario: the steps, and after each what must hold by the [`Model`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::deed::{Act, Deed};
use super::model::{Known, Model, Present};
use super::yaml::flow;

/// Seconds that a sandbox may run if nobody says otherwise.
const LONG: u32 = 900;

/// A scenario in the making.
#[derive(Debug, Default)]
struct Script {
    model: Model,
    steps: Vec<Value>,
    requirements: BTreeSet<&'static str>,
    needs: BTreeSet<&'static str>,
}

/// The scenario file of a sequence of deeds. Ends with a look at everything that is left, and its deletion.
#[must_use]
pub fn scenario(id: &str, title: &str, deeds: &[Deed]) -> String {
    let mut script = Script::default();
    script.needs.extend(["kubernetes", "memory", "files"]);
    for deed in deeds {
        script.add(*deed);
    }
    for slot in script.model.all_present() {
        script.resume(slot, true);
        script.delete(slot, true);
    }
    // A sequence of which nothing made sense.
    if script.steps.is_empty() {
        script.create(0, false);
        script.delete(0, true);
    }
    let list = |words: &BTreeSet<&str>| words.iter().copied().collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "id: {id}\ntitle: {}\nrequirements: [{}]\nneeds: [{}]\nvia: [e2b]\ntimeout: 10m\nsteps:\n",
        flow(&json!(title)),
        list(&script.requirements),
        list(&script.needs),
    );
    for step in &script.steps {
        for (key, body) in step.as_object().into_iter().flatten() {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "  - {key}: {}", flow(body));
        }
    }
    text
}

/// What a scenario calls a sandbox.
fn alias(slot: u8) -> String {
    char::from(b'a' + slot % 26).to_string()
}

fn path(file: u8) -> String {
    format!("/home/user/{file}.txt")
}

const fn front(by_sdk: bool) -> &'static str {
    if by_sdk { "e2b" } else { "kubernetes" }
}

impl Script {
    fn step(&mut self, step: Value) {
        self.steps.push(step);
    }

    fn add(&mut self, deed: Deed) {
        let slot = deed.slot;
        match deed.act {
            Act::Create { auto_pause } => self.create(slot, auto_pause),
            Act::Write => self.write(slot),
            Act::WriteFile(file) => self.write_file(slot, file),
            Act::DeleteFile(file) => self.delete_file(slot, file),
            Act::Look => self.look(slot),
            Act::Toggle { by_sdk } if self.model.paused(slot).is_some() => self.resume(slot, by_sdk),
            Act::Toggle { by_sdk } => self.pause(slot, by_sdk),
            Act::Connects => self.connects(slot),
            Act::Storm { toggles, ends_paused } => self.storm(slot, toggles, ends_paused),
            Act::Timeout => self.timeout(slot),
            Act::Outlast => self.outlast(slot),
            Act::Delete { by_sdk } => self.delete(slot, by_sdk),
            Act::DeleteOnTheWay => self.delete_on_the_way(slot),
            Act::Together => self.together(),
            Act::Crash { write, after } => self.crash(slot, write, after),
        }
    }

    /// Makes what is missing, so that the sandbox runs.
    fn run_up(&mut self, slot: u8) {
        self.make(slot);
        self.resume(slot, true);
    }

    /// Makes it if it is missing; of every other sandbox the timeout pauses.
    fn make(&mut self, slot: u8) {
        self.create(slot, slot % 2 == 1);
    }

    fn create(&mut self, slot: u8, auto_pause: bool) {
        if *self.model.known(slot) != Known::Absent {
            return;
        }
        let mut create = json!({"sandbox": alias(slot), "timeout": LONG});
        if auto_pause {
            create["auto-pause"] = json!(true);
            self.needs.insert("auto-pause");
        }
        self.step(json!({"create": create}));
        self.step(json!({"run": {"sandbox": alias(slot), "code": "writes = []"}}));
        *self.model.known(slot) = Known::Present(Present {
            auto_pause,
            ..Present::default()
        });
        self.requirements.insert("CTX-12");
    }

    fn write(&mut self, slot: u8) {
        self.run_up(slot);
        let number = self.model.number();
        let Some(present) = self.model.running(slot) else {
            return;
        };
        present.writes.push(number);
        let code = format!("writes.append({number})\nwrites");
        let text = written(present);
        self.step(json!({"run": {"sandbox": alias(slot), "code": code, "text": text}}));
    }

    fn write_file(&mut self, slot: u8, file: u8) {
        self.run_up(slot);
        let number = self.model.number();
        let Some(present) = self.model.running(slot) else {
            return;
        };
        present.files.insert(file, Some(number));
        let content = number.to_string();
        self.step(json!({"write-file": {"sandbox": alias(slot), "path": path(file), "content": content}}));
    }

    fn delete_file(&mut self, slot: u8, file: u8) {
        self.run_up(slot);
        let Some(present) = self.model.running(slot) else {
            return;
        };
        if let Some(content @ Some(_)) = present.files.get_mut(&file) {
            *content = None;
            self.step(json!({"delete-file": {"sandbox": alias(slot), "path": path(file)}}));
        }
    }

    /// Everything that was acknowledged is there, and what was deleted is not.
    fn look(&mut self, slot: u8) {
        let Some(present) = self.model.running(slot).cloned() else {
            return;
        };
        let text = written(&present);
        self.step(json!({"run": {"sandbox": alias(slot), "code": "writes", "text": text}}));
        for (file, content) in present.files {
            let mut read = json!({"sandbox": alias(slot), "path": path(file)});
            match content {
                Some(number) => read["content"] = json!(number.to_string()),
                None => read["missing"] = json!(true),
            }
            self.step(json!({"read-file": read}));
        }
    }

    /// It is paused for everybody, and nothing of it runs.
    fn rest(&mut self, slot: u8) {
        let sandbox = alias(slot);
        self.step(json!({"wait": {"until": [
            {"sdk-state": {"sandbox": sandbox, "is": "paused"}},
            {"phase": {"sandbox": sandbox, "is": ["Paused"]}},
            {"pods": {"sandbox": sandbox, "count": 0}},
        ]}}));
        self.requirements.extend(["ZERO-01", "ZERO-05"]);
    }

    fn pause(&mut self, slot: u8, by_sdk: bool) {
        self.make(slot);
        let Some(present) = self.model.running(slot) else {
            return;
        };
        present.paused = true;
        self.step(json!({"pause": {"sandbox": alias(slot), "through": front(by_sdk)}}));
        self.rest(slot);
    }

    fn resumed(&mut self, slot: u8) {
        self.requirements.extend(["CTX-01", "CTX-02", "CTX-06"]);
        self.look(slot);
    }

    fn resume(&mut self, slot: u8, by_sdk: bool) {
        let Some(present) = self.model.paused(slot) else { return };
        present.paused = false;
        self.step(json!({"resume": {"sandbox": alias(slot), "through": front(by_sdk)}}));
        self.resumed(slot);
    }

    fn connects(&mut self, slot: u8) {
        let Some(present) = self.model.present(slot) else {
            return;
        };
        present.paused = false;
        let connect = json!([{"connect": {"sandbox": alias(slot), "timeout": LONG, "status": [200, 201]}}]);
        self.step(json!({"race": {"branches": [connect, connect, connect]}}));
        self.requirements.extend(["E2B-06", "FSM-04"]);
        self.resumed(slot);
    }

    fn storm(&mut self, slot: u8, toggles: u8, ends_paused: bool) {
        self.make(slot);
        let Some(present) = self.model.present(slot) else {
            return;
        };
        let mut paused = present.paused;
        present.paused = ends_paused;
        for _ in 0..toggles {
            paused = !paused;
            let wish = if paused { "paused" } else { "running" };
            self.step(json!({"ask": {"sandbox": alias(slot), "for": wish}}));
        }
        let last = if ends_paused { "pause" } else { "resume" };
        self.step(json!({last: {"sandbox": alias(slot), "through": "kubernetes"}}));
        self.requirements.insert("FSM-03");
        if ends_paused {
            self.rest(slot);
        } else {
            self.resumed(slot);
        }
    }

    fn timeout(&mut self, slot: u8) {
        self.run_up(slot);
        let Some(present) = self.model.running(slot) else {
            return;
        };
        let pauses = present.auto_pause;
        present.paused = pauses;
        self.step(json!({"set-timeout": {"sandbox": alias(slot), "seconds": 1}}));
        self.requirements.insert("TIME-01");
        if pauses {
            self.requirements.extend(["CTX-10", "TIME-04"]);
            self.rest(slot);
        } else {
            self.gone(slot);
        }
    }

    fn outlast(&mut self, slot: u8) {
        self.run_up(slot);
        let Some(present) = self.model.running(slot) else {
            return;
        };
        present.paused = true;
        let sandbox = alias(slot);
        self.step(json!({"set-timeout": {"sandbox": sandbox, "seconds": 3}}));
        self.step(json!({"pause": {"sandbox": sandbox, "through": "e2b"}}));
        let paused = json!({"sdk-state": {"sandbox": sandbox, "is": "paused"}});
        self.step(json!({"observe": {"during": "4s", "holds": [paused]}}));
        self.requirements.insert("ZERO-06");
        self.rest(slot);
    }

    fn delete(&mut self, slot: u8, by_sdk: bool) {
        if self.model.present(slot).is_some() {
            self.step(json!({"delete": {"sandbox": alias(slot), "through": front(by_sdk)}}));
            self.gone(slot);
        }
    }

    fn delete_on_the_way(&mut self, slot: u8) {
        if self.model.paused(slot).is_some() {
            self.step(json!({"ask": {"sandbox": alias(slot), "for": "running"}}));
            self.step(json!({"delete": {"sandbox": alias(slot), "through": "kubernetes"}}));
            self.requirements.insert("DEL-03");
            self.gone(slot);
        }
    }

    /// It is nowhere, and nothing of it is stored.
    fn gone(&mut self, slot: u8) {
        let sandbox = alias(slot);
        self.step(json!({"wait": {"until": [
            {"gone": {"sandbox": sandbox}},
            {"sdk-state": {"sandbox": sandbox, "is": "not-found"}},
            {"storage": {"sandbox": sandbox, "is": "zero"}},
        ]}}));
        self.needs.insert("storage");
        self.requirements.extend(["DEL-06", "DEL-07"]);
        *self.model.known(slot) = Known::Absent;
    }

    fn crash(&mut self, slot: u8, write: u8, after: bool) {
        if self.model.present(slot).is_some() {
            let moment = if after { "after" } else { "before" };
            let crash = json!({"sandbox": alias(slot), "write": write.to_string(), "moment": moment});
            self.step(json!({"crash-controller": crash}));
            self.needs.insert("faults");
            self.requirements.insert("FSM-09");
        }
    }

    fn together(&mut self) {
        let slots = self.model.all_running();
        for verb in ["pause", "resume"] {
            let branches: Vec<Value> = slots
                .iter()
                .map(|slot| json!([{verb: {"sandbox": alias(*slot)}}]))
                .collect();
            if !branches.is_empty() {
                self.step(json!({"race": {"branches": branches}}));
            }
        }
        for slot in slots {
            self.resumed(slot);
        }
    }
}

/// As Python prints a list of numbers.
fn written(present: &Present) -> String {
    let numbers: Vec<String> = present.writes.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(", "))
}

#[cfg(test)]
mod tests;
