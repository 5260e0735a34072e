use super::{Edit, RewrittenLines, rewrite};

#[test]
fn every_form_of_import_binds_what_the_host_knows() {
    for (source, expected) in [
        ("import time", "time = _torpor_time_"),
        (
            "import  os.path, time as t, re\nt.sleep(1)",
            "import os.path; import re; t = _torpor_time_\nt.sleep(1)",
        ),
        ("if x: import time # now", "if x: time = _torpor_time_ # now"),
        (
            "x = 1; from time import sleep as s; y",
            "x = 1; s = _torpor_time_sleep; y",
        ),
        (
            "def f():\n\tfrom time import (sleep)\r\n",
            "def f():\n\tsleep = _torpor_time_sleep\r\n",
        ),
        (
            "from time import (  # two\n  sleep,\n  time,  # wall\n)\nx",
            "sleep = _torpor_time_sleep; time = (_torpor_time_time\n\n\n)\nx",
        ),
        (
            "from time import sleep, \\\n  time; x",
            "sleep = _torpor_time_sleep; time = (_torpor_time_time\n); x",
        ),
        ("from time \\\n  import time_ns", "time_ns = (_torpor_time_time_ns\n)"),
    ] {
        assert_eq!(rewrite(source), expected);
    }
}

#[test]
fn a_star_binds_every_function() {
    let rewritten = rewrite("from time import *");
    assert!(
        rewritten.starts_with("sleep = _torpor_time_sleep; time = _torpor_time_time; "),
        "{rewritten}"
    );
    assert!(rewritten.ends_with("strftime = _torpor_time_strftime"), "{rewritten}");
}

#[test]
fn what_only_looks_like_an_import_stays() {
    for source in [
        "s = '''\nimport time\n'''",
        "s = 'a\\'; import time'",
        "# import time\nimport datetime",
        "from datetime \\\nimport time",
        "from datetime import time",
        "important = time_left",
        "f(\nimport_time\n)",
        "print(\"x\") ; reimport = 'import time'",
        "import times, timeit",
        "import time.zone",
        "import time as 1",
        "import time,",
        "from time import",
        "from time import (sleep",
        "from .time import sleep",
        "from time import sleep!",
        "import time é\u{301}",
        "x = {'a':\nimport time}",
        "'",
        "\\",
    ] {
        assert_eq!(rewrite(source), source);
    }
}

#[test]
fn a_column_finds_back_to_the_character_it_stood_for() {
    let edit = Edit::between("x; time = _torpor_time_; é / 0", "x; import time; é / 0");
    assert_eq!(edit.column_before(1), 1);
    assert_eq!(edit.column_before(26), 17);
    assert!(edit.covers(11) && !edit.covers(2) && !edit.covers(26));
}

proptest::proptest! {
    #[test]
    fn rewriting_keeps_the_number_of_lines(
        source in "((import|from|time|as|sleep|x|,|;|:|\\(|\\)|\\\\|\n|'|\"|#|\\*| |é)[ \n]?){0,30}"
    ) {
        proptest::prop_assert_eq!(rewrite(&source).matches('\n').count(), source.matches('\n').count());
        RewrittenLines::default().rewrite(&source);
    }
}

#[test]
fn no_statement_begins_behind_a_backslash_whatever_ends_its_line() {
    for end in ["\n", "\r\n"] {
        let code = format!("x = 1 + \\{end}import time{end}");
        assert_eq!(RewrittenLines::default().rewrite(&code), code);
    }
}
