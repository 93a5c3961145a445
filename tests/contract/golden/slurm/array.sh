#!/bin/bash
#SBATCH --job-name=simulate-0123456789abcdef
#SBATCH --array=0-23%8
#SBATCH --output=log-0.%a
#SBATCH --open-mode=append
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --cpus-per-task=1
cd "$SLURM_SUBMIT_DIR" || exit 72
clustrix_here=$(pwd)
clustrix_task="${SLURM_ARRAY_TASK_ID:-0}"
[ ! -e "$clustrix_here/status-0.$clustrix_task" ] || rm -f "$clustrix_here/status-0.$clustrix_task"
clustrix_told= clustrix_worker=
trap 'clustrix_told=1; [ -z "$clustrix_worker" ] || kill "$clustrix_worker" 2>/dev/null' TERM
trap 'clustrix_code=$?; printf "EXIT %s\n" "$clustrix_code" >"$clustrix_here/status-0.$clustrix_task".new && command -p mv "$clustrix_here/status-0.$clustrix_task".new "$clustrix_here/status-0.$clustrix_task"' EXIT
export CLUSTRIX_JOB=0123456789abcdef CLUSTRIX_TASK="$clustrix_task" CLUSTRIX_SCHEDULER_ID="$SLURM_JOB_ID" CLUSTRIX_STARTED=$(date +%s)
cd "$clustrix_here" || exit 72
[ -z "$clustrix_told" ] || exit 143
python3 "${clustrix_here%/*/*/*}/worker/WORKER" run 0 "$clustrix_task" &
clustrix_worker=$!
wait "$clustrix_worker"; clustrix_code=$?
while [ "$clustrix_code" -gt 128 ] && kill -0 "$clustrix_worker" 2>/dev/null; do wait "$clustrix_worker"; clustrix_code=$?; done
exit "$clustrix_code"
