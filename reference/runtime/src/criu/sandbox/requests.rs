//! What is asked of code and processes in the sandbox goes to its kernels and its init.

use std::collections::BTreeMap;

use futures::FutureExt;

use super::CriuSandbox;
use crate::criu::init::{Reply, Request};
use crate::engine::{
    Answer, ContextInfo, ExecutionSink, Interpreter, ProcessInfo, ProcessSpec, ProcessStream, Processes, SandboxError,
    TerminalSize,
};

impl CriuSandbox {
    async fn done(&self, attempt: &'static str, request: Request) -> Result<(), SandboxError> {
        self.client.ask(attempt, request).await.map(drop)
    }
}

impl Interpreter for CriuSandbox {
    fn execute(
        &self,
        context: Option<String>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Answer<'_, ()> {
        async move { self.contexts.execute(context, &code, &env, sink).await }.boxed()
    }

    fn contexts(&self) -> Answer<'_, Vec<ContextInfo>> {
        std::future::ready(Ok(self.contexts.list())).boxed()
    }

    fn create_context(&self, cwd: Option<String>) -> Answer<'_, ContextInfo> {
        self.contexts.create(cwd).boxed()
    }

    fn restart_context(&self, id: String) -> Answer<'_, ()> {
        async move { self.contexts.restart(&id).await }.boxed()
    }

    fn remove_context(&self, id: String) -> Answer<'_, ()> {
        async move { self.contexts.remove(&id).await }.boxed()
    }
}

impl Processes for CriuSandbox {
    fn list(&self) -> Answer<'_, Vec<ProcessInfo>> {
        async move {
            match self.client.ask("list processes", Request::List).await? {
                // Kernels and the program are not clients' own.
                Reply::Processes(all) => Ok(all.into_iter().filter(|info| !info.spec.keep_output).collect()),
                _ => Ok(Vec::new()),
            }
        }
        .boxed()
    }

    fn start(&self, spec: ProcessSpec) -> Answer<'_, ProcessStream> {
        self.client.listen("start a process", Request::Start(spec)).boxed()
    }

    fn connect(&self, pid: u32) -> Answer<'_, ProcessStream> {
        self.client
            .listen("listen to a process", Request::Connect { pid })
            .boxed()
    }

    fn send_input(&self, pid: u32, input: Vec<u8>) -> Answer<'_, ()> {
        let data = input.into();
        self.done("write to a process", Request::Input { pid, data }).boxed()
    }

    fn close_stdin(&self, pid: u32) -> Answer<'_, ()> {
        self.done("close a standard input", Request::CloseStdin { pid }).boxed()
    }

    fn signal(&self, pid: u32, signal: i32) -> Answer<'_, ()> {
        self.done("signal a process", Request::Signal { pid, signal }).boxed()
    }

    fn resize(&self, pid: u32, size: TerminalSize) -> Answer<'_, ()> {
        self.done("resize a terminal", Request::Resize { pid, size }).boxed()
    }
}
