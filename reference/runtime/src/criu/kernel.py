"""One code context of a sandbox: runs the code that comes in, and tells what it does.

Standard input: one JSON object a line, {"id", "code", "env"}. Standard output: one JSON object a line,
{"id", "type", ...}. What code and its child processes write to descriptors 1 and 2 is told as events, too.
"""

import importlib
import json
import os
import select
import signal
import sys
import threading
import types
import zlib

os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")


def arrive():
    """Whatever is imported from now on is itself."""
    while later:
        name, module = later.popitem()
        if name in sys.modules and sys.modules[name] is module:
            del sys.modules[name]


class Later(types.ModuleType):
    """Stands for a module while IPython is imported: what is taken from it is a function that imports it when called."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(f"{self.__name__} is not imported yet, and has no {name}")
        if sys.modules.get(self.__name__) is not self:
            return getattr(importlib.import_module(self.__name__), name)

        def call(*args, **keywords):
            arrive()
            return getattr(importlib.import_module(self.__name__), name)(*args, **keywords)

        return call


# IPython imports these for what few sandboxes ever do (another shell in the terminal, autoawait, %load of an address,
# HTML tracebacks) and calls only functions of them. Without them a kernel is two fifths smaller in every checkpoint, and
# begins a third sooner. Code that imports them gets them. jedi completes what somebody types: it is left out altogether.
LATER = (
    "IPython.terminal.embed",
    "asyncio",
    "asyncio.exceptions",
    "hashlib",
    "html",
    "importlib.metadata",
    "logging.config",
    "pydoc",
    "urllib.request",
)
later = {name: Later(name) for name in LATER} | {"jedi": None}
# What the interpreter has imported by itself stays what it is.
later = {name: module for name, module in later.items() if name not in sys.modules}
sys.modules.update(later)

from traitlets.config import Config

from IPython import version_info
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

events = os.dup(1)
requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
telling = threading.RLock()
current = None
# What code has for ^C, and has it still in its next execution.
on_interrupt = signal.default_int_handler


def no_matter(number, frame):
    """^C while no code runs: whoever sent it was late, and variables are not to be lost to that."""


def take_interrupts_back():
    global on_interrupt
    on_interrupt = signal.signal(signal.SIGINT, no_matter)


def flush():
    sys.stdout.flush()
    sys.stderr.flush()


def tell(kind, **what):
    line = json.dumps({"id": current, "type": kind, **what}, default=str) + "\n"
    data = line.encode("utf-8", "backslashreplace")
    with telling:
        while data:
            data = data[os.write(events, data):]


class Descriptor:
    """A standard descriptor, read by a thread and told as events."""

    def __init__(self, number, kind):
        self.kind = kind
        self.reader, writer = os.pipe()
        os.dup2(writer, number)
        os.close(writer)
        self.reading = threading.Lock()
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        while True:
            select.select([self.reader], [], [])
            self.drain()

    def drain(self):
        with self.reading:
            while select.select([self.reader], [], [], 0)[0]:
                text = os.read(self.reader, 65536)
                if not text:
                    return
                tell(self.kind, text=text.decode("utf-8", "replace"))


class Stream:
    """sys.stdout or sys.stderr: told line by line, in the order of everything else."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, number, kind):
        self.number, self.kind, self.begun = number, kind, ""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        lines, newline, self.begun = (self.begun + text).rpartition("\n")
        if newline:
            tell(self.kind, text=lines + newline)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        if self.begun:
            text, self.begun = self.begun, ""
            tell(self.kind, text=text)

    def isatty(self):
        return False

    def writable(self):
        return True

    def readable(self):
        return False

    def fileno(self):
        return self.number


class Publisher(DisplayPublisher):
    def publish(self, data, metadata=None, **_):
        flush()
        tell("display", formats=data, is_main=False)


class Hook(DisplayHook):
    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        flush()
        tell("display", formats=format_dict, is_main=True)

    def finish_displayhook(self):
        pass


class Compiler(CachingCompiler):
    def get_code_name(self, raw_code, transformed_code, number):
        # The name that it has otherwise needs hashlib, and that all of OpenSSL.
        checksum = zlib.crc32(transformed_code.encode("utf-8", "backslashreplace"))
        return f"<ipython-input-{number}-{checksum:08x}>"


class Shell(InteractiveShell):
    def _showtraceback(self, etype, evalue, stb):
        flush()
        tell("error", name=etype.__name__, value=str(evalue), traceback=self.InteractiveTB.stb2text(stb))

    def enable_gui(self, gui=None):
        pass

    def system(self, cmd):
        return self.system_raw(cmd)

    def ask_exit(self):
        raise SystemExit


def run(shell, request):
    kept = {name: os.environ.get(name) for name in request["env"]}
    os.environ.update(request["env"])
    try:
        # Before anybody hears that there is something to interrupt.
        signal.signal(signal.SIGINT, on_interrupt)
        tell("started")
        shell.run_cell(request["code"], store_history=True)
    finally:
        try:
            take_interrupts_back()
        except BaseException:
            # What the code has for ^C raises: it came between the end of the code and here.
            take_interrupts_back()
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def main():
    global current
    descriptors = [Descriptor(1, "stdout"), Descriptor(2, "stderr")]
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    Shell.colors = "nocolor" if version_info >= (9,) else "NoColor"
    Shell.display_pub_class = Publisher
    Shell.displayhook_class = Hook
    Shell.compiler_class = Compiler
    settings = Config()
    settings.HistoryManager.enabled = False
    shell = Shell.instance(config=settings)
    arrive()
    sys.stdout, sys.stderr = Stream(1, "stdout"), Stream(2, "stderr")
    while True:
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        current = request["id"]
        try:
            run(shell, request)
        except KeyboardInterrupt:
            # Before or after the code: there is nothing of it to interrupt.
            pass
        flush()
        for descriptor in descriptors:
            descriptor.drain()
        tell("ended", executions=shell.execution_count - 1)


signal.signal(signal.SIGINT, no_matter)
main()
