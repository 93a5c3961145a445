#!/bin/bash
#PBS -N simulate-0123456789abcdef
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /dev/null
#PBS -l select=2:ncpus=4:mem=1536mb:ngpus=2:gpu_type=a100
#PBS -l place=excl
#PBS -l walltime=01:30:00
#PBS -q short
#PBS -A physics
#PBS -m e
cd "$PBS_O_WORKDIR" || exit 72
clustrix_here=$(pwd)
clustrix_task="0"
exec >>"log-0.$clustrix_task" 2>&1
[ ! -e "$clustrix_here/status-0.$clustrix_task" ] || rm -f "$clustrix_here/status-0.$clustrix_task"
clustrix_told= clustrix_worker=
trap 'clustrix_told=1; [ -z "$clustrix_worker" ] || kill "$clustrix_worker" 2>/dev/null' TERM
trap 'clustrix_code=$?; printf "EXIT %s\n" "$clustrix_code" >"$clustrix_here/status-0.$clustrix_task".new && command -p mv "$clustrix_here/status-0.$clustrix_task".new "$clustrix_here/status-0.$clustrix_task"' EXIT
export CLUSTRIX_JOB=0123456789abcdef CLUSTRIX_TASK="$clustrix_task" CLUSTRIX_SCHEDULER_ID="$PBS_JOBID" CLUSTRIX_STARTED=$(date +%s)
export OMP_NUM_THREADS=4
export MESSAGE='it'"'"'s $HOME
and more'
command -v module >/dev/null 2>&1 || . /etc/profile
command -v module >/dev/null 2>&1 || { echo clustrix: there is no module command >&2; exit 127; }
set -e
module load gcc/12.2.0 openmpi
source ~/venv/bin/activate
ulimit -c 0
set +e
cd "$clustrix_here" || exit 72
[ -z "$clustrix_told" ] || exit 143
python3 "${clustrix_here%/*/*/*}/worker/WORKER" run 0 "$clustrix_task" &
clustrix_worker=$!
wait "$clustrix_worker"; clustrix_code=$?
while [ "$clustrix_code" -gt 128 ] && kill -0 "$clustrix_worker" 2>/dev/null; do wait "$clustrix_worker"; clustrix_code=$?; done
rm -rf /tmp/ada
exit "$clustrix_code"
