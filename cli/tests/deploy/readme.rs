//! The commands of `deploy/README.md`, one after the other on an API server that has nothing yet.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Failed;
use serde_json::Value;

use crate::manifests::documents;
use crate::require;
use crate::support::root;

/// What is there afterwards: namespace, kind and name.
const INSTALLED: [(&str, &str, &str); 5] = [
    ("torpor-system", "secret", "torpor-gateway"),
    ("torpor-system", "deployment", "torpor-controller"),
    ("torpor-system", "deployment", "torpor-gateway"),
    ("sandboxes", "sandboxtemplate", "code-interpreter"),
    ("sandboxes", "persistentvolumeclaim", "torpor-checkpoints"),
];

/// An API server that ends with its handle.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(kubeconfig: &Path) -> Result<Self, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torpor"));
        command.args(["apiserver", "--port=0", "--kubeconfig"]).arg(kubeconfig);
        let mut server = Self(command.stdout(Stdio::piped()).spawn()?);
        let printed = server.0.stdout.take().ok_or("no output")?;
        // It says where it is once the kubeconfig is there and the port is taken.
        let mut line = String::new();
        BufReader::new(printed).read_line(&mut line)?;
        require(line.contains("http"), || format!("it does not serve: {line:?}"))?;
        Ok(server)
    }
}

/// The block of commands that stands first.
fn first_block(text: &str) -> Option<&str> {
    let (_, block) = text.split_once("```sh\n")?;
    block.split_once("```").map(|(block, _)| block)
}

/// The commands are carried out in their order, and everything that they speak of is there then.
pub fn commands() -> Result<(), Failed> {
    let readme = std::fs::read_to_string(root().join("deploy/README.md"))?;
    let commands = first_block(&readme).ok_or("it has no commands")?;
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(root().canonicalize()?.join("deploy"), folder.path().join("deploy"))?;
    let kubeconfig = folder.path().join("kubeconfig");
    let _server = Server::start(&kubeconfig)?;
    let in_folder = |program: &str, args: &[&str]| -> Result<String, Failed> {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(folder.path())
            .env("KUBECONFIG", &kubeconfig);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        require(output.status.success(), || {
            format!("{program} {}: {said}", args.join(" "))
        })?;
        Ok(String::from_utf8(output.stdout)?)
    };
    in_folder("sh", &["-e", "-c", commands])?;
    for (namespace, kind, name) in INSTALLED {
        in_folder("kubectl", &["-n", namespace, "get", kind, name])?;
    }
    let keys = std::fs::read_to_string(folder.path().join("api-keys"))?;
    let key = keys.trim().strip_prefix("e2b_").unwrap_or_default();
    let hexadecimal = key.len() == 40 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    require(hexadecimal, || format!("SDKs take no key as {keys:?}"))?;
    templates_run_agents()
}

/// Every template of the examples runs an agent of the image that is deployed.
fn templates_run_agents() -> Result<(), Failed> {
    let mut seen = 0;
    for file in std::fs::read_dir(root().join("deploy/examples"))? {
        let text = std::fs::read_to_string(file?.path())?;
        let objects: Vec<Value> = documents(&text);
        for template in objects.iter().filter(|object| object["kind"] == "SandboxTemplate") {
            let container = &template["spec"]["template"]["spec"]["containers"][0];
            let right = container["args"][0] == "agent" && container["image"] == "torpor:0.1.0";
            require(right, || format!("it runs no agent: {container}"))?;
            seen += 1;
        }
    }
    require(seen == 2, || format!("{seen} templates instead of two"))
}
