"""Plugins that each break one promise, the test of the contract that finds it, and what the test says."""

from __future__ import annotations

from dataclasses import dataclass

# What a variant may do to every command, shown once.
PER_HANDLE = """
@hookimpl
def status(handles, cluster):
    return {handle.job: batch.status(TOY, [handle], cluster)[handle.job] for handle in handles}
"""


@dataclass(frozen=True)
class Bad:
    """``more`` is the source at the plugin's end, ``said`` a part of the contract's message."""

    test: str
    more: str
    said: str


def rendered(change: str) -> str:
    return f"@hookimpl\ndef render_script(job, cluster):\n    script = batch.render(TOY, job, cluster)\n    {change}\n"


def described(options: str = "Options", summary: str = '"a toy"', more: str = "") -> str:
    return f"@hookimpl\ndef describe_backend():\n    {more}\n    return BackendInfo(NAME, {options}, {summary})\n"


def options(decorated: str, fields: str) -> str:
    return f"@dataclass{decorated}\nclass Options:\n    '''Of the toy.'''\n    {fields}\n{described()}"


def answers(hook: str, words: str, *lines: str) -> str:
    body = "\n    ".join(lines)
    return f"@hookimpl\ndef {hook}({words}):\n    {body}\n"


FIND, STATUS, FETCH = "job, cluster", "handles, cluster", "handles, into, cluster"
LOGS, CANCEL, SUBMIT = "handle, cluster, since", "handles, cluster", "job, script, cluster"
COLOUR = "colour: str | None = field(default=None, metadata={'help': 'colour of its jobs'})"

BAD: dict[str, Bad] = {
    # -- what it says of itself
    "lacks_a_hook": Bad("test_the_plugin_is_accepted", "del cancel", "lacks cancel"),
    "misspells_a_hook": Bad(
        "test_the_plugin_is_accepted", "@hookimpl\ndef sumbit(job): ...", "'sumbit', which does not exist"
    ),
    "claims_a_taken_name": Bad("test_the_plugin_is_accepted", "NAME = 'local'", "both claim the backend 'local'"),
    "has_defaults": Bad(
        "test_hooks_take_what_they_are_given",
        answers("logs", "handle, cluster, since=0", "return batch.logs(handle, cluster, since)"),
        "logs(): since has a default",
    ),
    "keeps_state": Bad(
        "test_hooks_keep_no_state",
        "class Keeper:\n    @hookimpl\n    def cancel(self, handles, cluster): ...\ncancel = Keeper().cancel",
        "cancel is no plain function",
    ),
    "imports_a_client_library": Bad(
        "test_describing_does_nothing", "import yaml", "yaml: import them where they are used"
    ),
    "writes_at_import": Bad(
        "test_describing_does_nothing", "open('/dev/null', 'w').close()", "did ['open /dev/null']: leave it to"
    ),
    "reads_when_described": Bad(
        "test_describing_does_nothing", described(more="open('/etc/hostname').close()"), "did ['open /etc/hostname']"
    ),
    "takes_long_to_import": Bad(
        "test_describing_does_nothing",
        "import sys, time\ntime.sleep(0 if 'pytest' in sys.modules else 2.1)",
        "the import takes 2.",
    ),
    "describes_itself_at_random": Bad(
        "test_describing_says_the_same_twice",
        described(summary="str(time.perf_counter())", more="import time"),
        "something else each time",
    ),
    "has_no_summary": Bad("test_describing_says_the_same_twice", described(summary="''"), "a summary of one line"),
    "has_options_without_help": Bad(
        "test_options_are_documented", options("(frozen=True)", "colour: str | None = None"), "colour has no help"
    ),
    "has_options_that_change": Bad("test_options_are_safe", options("", COLOUR), "@dataclass(frozen=True)"),
    "has_options_of_any_type": Bad(
        "test_options_are_safe",
        "from typing import Any\n" + options("(frozen=True)", COLOUR.replace("str | None", "Any")),
        "colour: give it a type of its own",
    ),
    "shows_secrets": Bad(
        "test_options_are_safe",
        options("(frozen=True)", COLOUR + "\n    " + COLOUR.replace("colour:", "api_token:")),
        "api_token is a secret and shown",
    ),
    # -- scripts
    "changes_a_script": Bad(
        "test_scripts_are_as_they_were",
        rendered("return script + '# new\\n'"),
        "`pytest --clustrix-accept` (or CLUSTRIX_ACCEPT=1) writes",
    ),
    "tells_the_time": Bad(
        "test_rendering_is_pure",
        "import time\n" + rendered("return script + f'# {time.perf_counter()}\\n'"),
        "changes from call to call: no clock",
    ),
    "reads_a_file": Bad(
        "test_rendering_is_pure", rendered("open('/etc/hostname').close(); return script"), "did ['open /etc/hostname"
    ),
    "runs_a_command_to_render": Bad(
        "test_rendering_is_pure", rendered("cluster.transport.run('true'); return script"), "was not told what to"
    ),
    "has_no_shell": Bad(
        "test_scripts_are_valid", rendered("return script.partition('\\n')[2]"), "does not begin with #!"
    ),
    "writes_nonsense": Bad("test_scripts_are_valid", rendered("return script + 'fi\\n'"), "cannot read the script"),
    "does_not_name_the_job": Bad(
        "test_a_script_names_its_job", rendered("return script.replace(job.id, 'x')"), "does not name its job"
    ),
    "puts_a_label_in": Bad(
        "test_no_label_becomes_a_line",
        rendered("return script + f'# {job.label}\\n'"),
        "became a line of its own: use job.name, never job.label",
    ),
    "splits_directives": Bad(
        "test_no_directive_becomes_another_line",
        rendered("return script + ''.join(f'{w}\\n' for line in job.resources.directives for w in line.split())"),
        "became a line of its own",
    ),
    "puts_an_option_in": Bad(
        "test_no_option_becomes_a_line",
        "def directives(job, cluster):\n    return []\nTOY = replace(TOY, directives=directives)\n"
        + rendered("return script + f'# {cluster.options.colour}\\n'"),
        "the option colour 'two\\nlines' became a line of its own",
    ),
    # -- sites
    "provisions_without_a_site": Bad(
        "test_provision_makes_ready", answers("provision", "cluster", "return cluster"), "without a site"
    ),
    "provisions_a_relative_place": Bad(
        "test_provision_makes_ready",
        answers(
            "provision",
            "cluster",
            "ready = batch.provision(TOY, cluster)",
            "return ready.at(replace(ready.site, work_dir='work'))",
        ),
        "the site's work_dir 'work' is not absolute",
    ),
    "provisions_again": Bad(
        "test_provision_twice_costs_once",
        answers(
            "provision",
            "cluster",
            "import os, tempfile",
            "ready = batch.provision(TOY, cluster)",
            "tempfile.mkdtemp(dir=ready.site.work_dir)",
            "return ready",
        ),
        "taken something a second time",
    ),
    "provisions_step_by_step": Bad(
        "test_provision_twice_costs_once",
        answers("provision", "cluster", "cluster.transport.run('true')", "return batch.provision(TOY, cluster)"),
        "provision ran 2 commands",
    ),
    "releases_once": Bad(
        "test_release_is_safe_to_repeat",
        "released = []\n"
        + answers("release", "cluster", "assert not released, 'there is nothing to release'", "released.append(1)"),
        "there is nothing to release",
    ),
    "finds_fault": Bad(
        "test_a_healthy_cluster_has_no_errors",
        answers("check", "cluster", "return [Problem('error', 'I do not like it')]"),
        "I do not like it",
    ),
    # -- submitting
    "takes_a_broken_line_for_a_refusal": Bad(
        "test_a_lost_answer_leaves_one_job",
        answers(
            "submit",
            SUBMIT,
            "try: return batch.submit(TOY, job, script, cluster)",
            "except TransportError as error: raise SubmitRejected('no') from error",
        ),
        "let TransportError through, there may be a job",
    ),
    "makes_up_a_handle": Bad(
        "test_a_lost_answer_leaves_one_job",
        answers(
            "submit",
            SUBMIT,
            "try: return batch.submit(TOY, job, script, cluster)",
            "except TransportError: return JobHandle(job.id, job.name, '1')",
        ),
        "let TransportError through",
    ),
    "does_not_find_again": Bad(
        "test_a_lost_answer_leaves_one_job",
        answers("find", FIND, "return None"),
        "there is a job, and find says that there is none",
    ),
    "finds_another_name": Bad(
        "test_a_lost_answer_leaves_one_job",
        answers("find", FIND, "return replace(batch.find(TOY, job, cluster), name='another')"),
        "is not the handle of",
    ),
    "submits_twice": Bad(
        "test_a_lost_answer_leaves_one_job",
        answers(
            "submit",
            SUBMIT,
            "try: return batch.submit(TOY, job, script, cluster)",
            "except TransportError:",
            "    cluster.transport.under.run(f'cd {cluster.site.work_dir}/{job.dir} && echo once >>log-0.0; sleep 1')",
            "    raise",
        ),
        "the job ran 2 times",
    ),
    "lets_late_submissions_run": Bad(
        "test_what_never_arrived_is_submitted_again",
        answers(
            "find",
            FIND,
            "said = cluster.transport.run(f'cat {cluster.site.work_dir}/{job.dir}/answer-0.{job.submission}').text",
            "return JobHandle(job.id, job.name, said.split()[1]) if said else None",
        ),
        "what came late has become a second job",
    ),
    "finds_what_never_was": Bad(
        "test_a_job_that_never_was_is_not_found",
        answers("find", FIND, "return JobHandle(job.id, job.name, '1')"),
        "find names a job that never was",
    ),
    "accepts_anything": Bad(
        "test_a_refusal_is_no_job",
        "START = START.replace('-z', '-n')\n",
        "was accepted: raise SubmitRejected where there is no job",
    ),
    "runs_labels": Bad(
        "test_no_text_is_run",
        rendered("return script.replace('clustrix_told=', f'echo \"{job.label}\"\\nclustrix_told=', 1)"),
        "was run by a shell",
    ),
    "runs_values": Bad(
        "test_no_text_is_run",
        rendered("return script.replace('export CONTRACT_TEXT=', 'export CONTRACT_TEXT=x')"),
        "the job got another value",
    ),
    "runs_its_work_dir": Bad(
        "test_any_work_dir_will_do",
        answers(
            "submit",
            SUBMIT,
            "cluster.transport.run(f'cd \"{cluster.site.work_dir}\"; true')",
            "return batch.submit(TOY, job, script, cluster)",
        ),
        "a part of work_dir was run by a shell",
    ),
    # -- questions
    "asks_for_each_job": Bad("test_one_question_for_all", PER_HANDLE, "status ran 50 commands for 50 jobs"),
    "leaves_jobs_out": Bad(
        "test_one_question_for_all",
        answers(
            "status",
            STATUS,
            "found = batch.status(TOY, handles, cluster)",
            "return {job: status for job, status in found.items() if status.state is not JobState.UNKNOWN}",
        ),
        "left out",
    ),
    "takes_strangers_for_failed": Bad(
        "test_one_question_for_all",
        answers(
            "status",
            STATUS,
            "found = batch.status(TOY, handles, cluster)",
            "unknown = JobState.UNKNOWN",
            "return {j: JobStatus(JobState.FAILED) if s.state is unknown else s for j, s in found.items()}",
        ),
        "jobs that the scheduler does not know are UNKNOWN",
    ),
    "goes_by_ids_alone": Bad(
        "test_one_question_for_all",
        answers(
            "status",
            STATUS,
            "found = batch.status(TOY, handles, cluster)",
            "live = {h.native for h in handles if found[h.job].state is JobState.RUNNING}",
            "return {h.job: JobStatus(JobState.RUNNING) if h.native in live else found[h.job] for h in handles}",
        ),
        "match by name too, ids are used again",
    ),
    "does_not_cancel": Bad("test_a_cancelled_job_ends", answers("cancel", CANCEL, "pass"), "(RUNNING) and not over"),
    "calls_a_cancelled_job_a_success": Bad(
        "test_a_cancelled_job_ends",
        "CANCEL = CANCEL.replace('CANCELLED 143', 'EXIT 0')\n",
        "a cancelled job is JobStatus(state=<JobState.SUCCEEDED",
    ),
    "cannot_cancel_what_is_over": Bad(
        "test_to_cancel_what_is_over_is_no_error",
        answers("cancel", CANCEL, "raise CommandError('there is no such job')"),
        "there is no such job",
    ),
    "cannot_be_asked_nothing": Bad(
        "test_nothing_is_asked_about_nothing",
        answers("status", STATUS, "handles[0]", "return batch.status(TOY, handles, cluster)"),
        "IndexError",
    ),
    # -- files
    "copies_all_again": Bad(
        "test_fetch_brings_what_is_new",
        answers(
            "fetch",
            FETCH,
            "import shutil",
            "for handle in handles: shutil.rmtree(into / handle.job, ignore_errors=True)",
            "return batch.fetch(handles, into, cluster)",
        ),
        "again (",
    ),
    "fetches_one_by_one": Bad(
        "test_fetch_brings_what_is_new",
        answers("fetch", FETCH, "cluster.transport.run('true')", "return batch.fetch(handles, into, cluster)"),
        "fetch of one job ran 2 commands",
    ),
    "unpickles": Bad(
        "test_fetch_brings_what_is_new",
        answers(
            "fetch",
            FETCH,
            "import pickle",
            "found = batch.fetch(handles, into, cluster)",
            "for file in into.glob('*/results-*'):",
            "    try: pickle.loads(b'\\x80' + file.read_bytes().partition(b'\\x80')[2])",
            "    except Exception: pass",
            "return found",
        ),
        "fetch unpickled ['pickle.find_class",
    ),
    "discards_nothing": Bad(
        "test_fetch_brings_what_is_new",
        answers(
            "fetch",
            FETCH,
            "return batch.fetch([replace(handle, discard=False) for handle in handles], into, cluster)",
        ),
        "what fetch was told to discard is still there",
    ),
    "brings_what_was_to_stay": Bad(
        "test_a_large_value_waits_until_it_is_asked_for",
        answers(
            "fetch",
            FETCH,
            "found = batch.fetch(handles, into, cluster)",
            "for handle in handles: (into / handle.job / 'value-ab').write_bytes(b'x')",
            "return found",
        ),
        "which nobody has asked for",
    ),
    "invents_directories": Bad(
        "test_a_stranger_has_nothing",
        answers("fetch", FETCH, "return {handle.job: Fetched() for handle in handles}"),
        "did not say that there is no such directory",
    ),
    "begins_logs_anew": Bad(
        "test_logs_go_on_from_an_offset",
        answers("logs", LOGS, "return batch.logs(handle, cluster, 0)"),
        "nothing new was written, and logs returns",
    ),
    "counts_characters": Bad(
        "test_logs_go_on_from_an_offset",
        answers("logs", LOGS, "new = batch.logs(handle, cluster, since)", "return replace(new, next=len(new.text))"),
        "it is an offset in bytes",
    ),
    # -- ends
    "takes_failure_for_success": Bad(
        "test_a_failing_job_has_failed",
        answers("status", STATUS, "return {h.job: JobStatus(JobState.SUCCEEDED) for h in handles}"),
        "a job that ends with exit code 3 is JobStatus(state=<JobState.SUCCEEDED",
    ),
    "forgets_exit_codes": Bad(
        "test_a_failing_job_has_failed",
        answers(
            "status",
            STATUS,
            "found = batch.status(TOY, handles, cluster)",
            "return {job: JobStatus(status.state) for job, status in found.items()}",
        ),
        "its exit code is not None",
    ),
    # -- outages
    "takes_an_outage_for_an_end": Bad(
        "test_an_outage_is_no_end",
        answers(
            "status",
            STATUS,
            "try: return batch.status(TOY, handles, cluster)",
            "except ClustrixError: return {handle.job: JobStatus(JobState.LOST) for handle in handles}",
        ),
        "the connection breaks: status returned",
    ),
    "takes_silence_for_an_end": Bad(
        "test_an_outage_is_no_end",
        answers(
            "status",
            STATUS,
            "gone = JobStatus(JobState.FAILED)",
            "try: return batch.status(TOY, handles, cluster)",
            "except CommandError: return {handle.job: gone for handle in handles}",
        ),
        "every command fails: status returned",
    ),
    "swallows_a_broken_connection": Bad(
        "test_a_broken_connection_is_told",
        answers(
            "logs",
            LOGS,
            "try: return batch.logs(handle, cluster, since)",
            "except TransportError: return LogChunk('', since)",
        ),
        "the connection breaks: logs returned",
    ),
    "doctors_say_nothing_is_wrong": Bad(
        "test_a_broken_connection_is_told",
        answers("check", "cluster", "return []"),
        "the connection breaks: check returned",
    ),
    # -- calls
    "brings_no_results": Bad(
        "test_values_come_back",
        answers("fetch", FETCH, "return {handle.job: Fetched() for handle in handles}"),
        "TimeoutError",
    ),
    "ends_jobs_early": Bad(
        "test_exceptions_come_back",
        answers("submit", SUBMIT, "raise SubmitRejected('the queue is closed')"),
        "the queue is closed",
    ),
    "knows_no_arrays": Bad(
        "test_maps_come_back_in_order",
        rendered("raise ConfigError('no arrays here')"),
        "no arrays here",
    ),
    "runs_calls_in_place": Bad(
        "test_a_job_is_journalled_and_over",
        answers("submit", SUBMIT, "raise SubmitRejected('the queue is closed')"),
        "the queue is closed",
    ),
}
