#!/bin/bash
#PBS -N simulate-0123456789abcdef
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /dev/null
#PBS -J 0-2
#PBS -l select=1:ncpus=16:mem=8192mb
#PBS -m n
cd "$PBS_O_WORKDIR" || exit 72
clustrix_here=$(pwd)
clustrix_task="${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-0}}"
exec >>"log-0.$clustrix_task" 2>&1
[ ! -e "$clustrix_here/status-0.$clustrix_task" ] || rm -f "$clustrix_here/status-0.$clustrix_task"
clustrix_told= clustrix_worker=
trap 'clustrix_told=1; [ -z "$clustrix_worker" ] || kill "$clustrix_worker" 2>/dev/null' TERM
trap 'clustrix_code=$?; printf "EXIT %s\n" "$clustrix_code" >"$clustrix_here/status-0.$clustrix_task".new && command -p mv "$clustrix_here/status-0.$clustrix_task".new "$clustrix_here/status-0.$clustrix_task"' EXIT
export CLUSTRIX_JOB=0123456789abcdef CLUSTRIX_TASK="$clustrix_task" CLUSTRIX_SCHEDULER_ID="$PBS_JOBID" CLUSTRIX_STARTED=$(date +%s)
cd "$clustrix_here" || exit 72
[ -z "$clustrix_told" ] || exit 143
python3 "${clustrix_here%/*/*/*}/worker/WORKER" run 0 "$clustrix_task" &
clustrix_worker=$!
wait "$clustrix_worker"; clustrix_code=$?
while [ "$clustrix_code" -gt 128 ] && kill -0 "$clustrix_worker" 2>/dev/null; do wait "$clustrix_worker"; clustrix_code=$?; done
exit "$clustrix_code"
