"""What is run on the machine of the queue: scripts of sh over `tsp`, `ps` and `timeout`.

Each task is a job of its own, since tsp has no arrays: ``timeout -k 30 SECONDS /bin/bash SCRIPT NAME TASK``. Its last
two words are in the list of the queue and in that of the processes, so a job is found by its name in both.
"""

from __future__ import annotations

from collections.abc import Sequence

from clustrix_core import batch
from clustrix_core.model import Cluster, JobHandle, JobSpec

GRACE = 30  # seconds between TERM and KILL

# A file that is no socket, or somebody else's, in the place of its socket is removed by tsp without a word (1.0.1).
_QUEUE = """
ts=$1; [ -z "$2" ] || export TS_SOCKET="$2"; [ -z "$3" ] || export TS_SLOTS="$3"; shift 3;
socket=${TS_SOCKET:-${TMPDIR:-/tmp}/socket-ts.$(id -u)};
if [ -e "$socket" ] && ! { [ -S "$socket" ] && [ -O "$socket" ]; }; then
  echo "$socket is no socket of yours, and tsp would remove it" >&2; exit 2;
fi;
"""

# `tsp -r` does not remove the first job of the list, and forgets what it removes (1.0.1). Waiting jobs are clients of
# the queue that do nothing yet: one that is ended stays in the list. Running jobs are told as `tsp -k` does. A client
# may begin to run its job between the look and the signal: hence the second look.
_END = """
end() {
  told=;
  for look in 1 2 3; do
    found=$(ps -u "$(id -u)" -ww -o pid= -o ppid= -o args= | awk -v names=" $* " -v told="$told " -v ts="${ts##*/}" '
      NF < 4 || $NF !~ /^[0-9]+$/ || !index(names, " " $(NF-1) " ") { next }
      { sub(".*/", "", $3) }
      $3 == "timeout" { run["-" $1]; parent[$2] }
      $3 == ts { client[$1] }
      END {
        for (pid in run) if (!index(told, " " pid " ")) print pid;
        for (pid in client) if (!(pid in parent) && !index(told, " " pid " ")) print pid
      }') || return;
    [ -n "$found" ] || break;
    for pid in $found; do told="$told $pid"; kill -s TERM -- "$pid" 2>/dev/null; done;
    sleep 0.2;
  done;
};
"""

# -B: a full queue is told at once, instead of waiting for room. A job that needs more slots than there are would wait
# for ever. -D starts a job only where the other ended well, and takes one (1.0.1).
_SUBMIT = """
name=$1 tasks=$2 slots=$3 grace=$4 seconds=$5 script=$6; shift 6;
most=$("$ts" -S) || exit;
if [ "$slots" -gt "$most" ]; then echo "it needs $slots slots at a time, and the queue has $most" >&2; exit 1; fi;
before=$(for job; do "$ts" -l | awk -v job="-$job" 'index($0, job) && $2 ~ /^(queued|running)$/ { print $1 }'; done);
set -- $before;
case $# in
  0) ;;
  1) set -- -D "$1" ;;
  *) echo "it must wait for $# jobs, and tsp lets a job wait for one; take their values with result()" >&2; exit 1 ;;
esac;
task=0;
while [ "$task" -lt "$tasks" ]; do
  "$ts" -n -B -N "$slots" -L "$name" "$@" timeout -k "$grace" "$seconds" /bin/bash "$script" "$name" "$task"
    </dev/null >/dev/null || { code=$?; end "$name"; exit "$code"; };
  task=$((task+1));
done;
"$ts" -l | awk -v name="$name" '$(NF-1) == name { print $1 }' | sort -n | head -n 1
"""

# Only the lines of the jobs in question travel.
_ASK = """
jobs=$(cut -d ' ' -f 1); said=$({}) || exit; printf '%s\\n' "$said" | grep -F "$jobs" || [ $? = 1 ]
"""
_LIST = _ASK.format('"$ts" -l')
_PROCESSES = _ASK.format('ps -u "$(id -u)" -ww -o args=')
_PROBE = """
"$ts" -V 2>&1 | head -n 1; echo "slots $("$ts" -S)"; for name in timeout ps awk; do command -v "$name"; done
"""


def submit(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """All tasks by one command; what was accepted before one was refused is ended again. Prints the first id."""
    slots = job.resources.cores * job.width
    words = [job.name, job.tasks, slots, GRACE, job.walltime or 0, f"job-{job.round}.sh", *job.after]
    return _sh(_END + _SUBMIT, cluster, *map(str, words))


def queue(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    return _sh(_LIST, cluster)


def processes(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    return _sh(_PROCESSES, cluster)


def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """By names: ids begin at 0 again when the queue is restarted."""
    return _sh(_END + 'end "$@"', cluster, *(handle.name for handle in handles))


def probe(cluster: Cluster) -> Sequence[str]:
    return [batch.words(_sh(_PROBE, cluster))]


def _sh(script: str, cluster: Cluster, *words: str) -> Sequence[str]:
    options, one_line = cluster.options, " ".join((_QUEUE + script).split())
    return ["sh", "-c", one_line, "sh", options.program, options.socket or "", str(options.slots or ""), *words]
