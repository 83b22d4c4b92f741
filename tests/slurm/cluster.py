"""A private SLURM with two simulated GPUs, all in one folder: one node, or two with accounting.

Nothing outside the folder is read or written, not even /etc/slurm: the daemons and commands get
their configuration through SLURM_CONF. The executor plugin removes SLURM_* from the `srun` inside a
job, so a small `srun` that sets it comes first on the jobs' path.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

CONFIGURATION = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/pgid
TaskPlugin=task/none
TaskProlog={folder}/task_prolog
TaskEpilog={folder}/task_epilog
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=5
GresTypes=gpu
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge={min_job_age}
MessageTimeout=10
SlurmdTimeout=15
PreemptType=preempt/partition_prio
PreemptMode={preempt_mode}
{accounting}
JobAcctGatherType=jobacct_gather/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
{nodes}
PartitionName=cpu Nodes=ALL Default=YES PriorityTier=1
PartitionName=gpu Nodes=ALL PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=10
"""

NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=10 RealMemory=400000 "
    "Gres={gres}"
)

# Types of GPU, and files that stand for their devices.
GPUS = {"a100-80gb": "/dev/null", "1g.10gb": "/dev/zero"}

NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"

ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
"""

ACCOUNTING_DAEMON = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=slurm
"""

DATABASE_USER = """\
CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm';
GRANT ALL ON *.* TO slurm@'127.0.0.1';
"""

# One line when a task starts and one when it ends: job, step, devices, time.
TASK_LOG = """\
#!/bin/sh
step="$SLURM_JOB_ID ${{SLURM_STEP_ID:-batch}}"
echo "$step {event} ${{CUDA_VISIBLE_DEVICES:-none}} $(date +%s.%N)" >> {folder}/tasks.log
"""

COMMANDS = (
    *("munged", "slurmctld", "slurmd"),
    *("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "setpriv"),
)

ACCOUNTING_COMMANDS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacct", "sacctmgr")


def missing_commands(commands=COMMANDS):
    """Those of the commands, such as of SLURM and munge, that this machine does not have."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    return [command for command in commands if not shutil.which(command, path=path)]


def free_ports(count):
    """Ports of this machine that nothing listens to."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Daemons that are children of this process, and what a client's environment needs."""

    def __init__(self, folder, min_job_age=300, preempt_mode="REQUEUE", accounting=False):
        self.folder = Path(folder)
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o711)
        self.daemons = {}
        self.environment = {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}:/usr/sbin",
        }
        self.accounting = accounting
        self.host = socket.gethostname().split(".")[0]
        # GPUs of each node: two nodes with accounting, one without.
        self.nodes = {self.host: list(GPUS)}
        if accounting:
            self.nodes = {"one": ["a100-80gb"], "two": ["1g.10gb"]}
        self._configure(min_job_age, preempt_mode)

    def _configure(self, min_job_age, preempt_mode):
        controller_port, port, self.database_port, *node_ports = free_ports(3 + len(self.nodes))
        nodes = [
            NODE.format(
                name=name,
                host=self.host,
                port=node_port,
                gres=",".join(f"gpu:{gpu}:1" for gpu in self.nodes[name]),
            )
            for name, node_port in zip(self.nodes, node_ports, strict=True)
        ]
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                host=self.host,
                controller_port=controller_port,
                nodes="\n".join(nodes),
                min_job_age=min_job_age,
                preempt_mode=preempt_mode,
                accounting=ACCOUNTING.format(port=port, folder=self.folder)
                if self.accounting
                else NO_ACCOUNTING,
            )
        )
        (self.folder / "gres.conf").write_text(
            "".join(
                f"NodeName={node} Name=gpu Type={gpu} File={GPUS[gpu]}\n"
                for node, gpus in self.nodes.items()
                for gpu in gpus
            )
        )
        daemon = self.folder / "slurmdbd.conf"
        daemon.touch(mode=0o600)
        daemon.write_text(
            ACCOUNTING_DAEMON.format(
                folder=self.folder, port=port, database_port=self.database_port
            )
        )
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        for event in ("prolog", "epilog"):
            self.script(
                self.folder / f"task_{event}", TASK_LOG.format(event=event, folder=self.folder)
            )
        self.script(
            self.folder / "bin" / "srun",
            f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n',
        )

    @staticmethod
    def script(path, text):
        """Write a program."""
        path.write_text(text)
        path.chmod(0o755)

    def __enter__(self):
        try:
            socket_path, key = self.folder / "munge.socket", self.folder / "munge.key"
            self.start("munged", "--foreground", "--force", f"--socket={socket_path}",
                       f"--key-file={key}", f"--pid-file={self.folder}/munge.pid",
                       f"--seed-file={self.folder}/munge.seed",
                       f"--log-file={self.folder}/munge.log")  # fmt: skip
            wait_for(socket_path.exists, "munge")
            if self.accounting:
                self._start_accounting()
            self.start_controller()
            for node in self.nodes:
                self.start_node(node)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self, name, *arguments, key=None, **environment):
        """Start a daemon in the foreground, its output in a file. It dies with this process."""
        with open(self.folder / f"{key or name}.log", "ab") as log:
            self.daemons[key or name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, **environment},
                start_new_session=True,
            )

    def _start_accounting(self):
        """A database server, and the daemon that keeps the records of jobs in it."""
        data, socket_path = self.folder / "database", self.folder / "database.socket"
        users = self.folder / "users.sql"
        users.write_text(DATABASE_USER)
        self.tell("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
                  "--skip-test-db", "--auth-root-authentication-method=normal")  # fmt: skip
        self.start("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}",
                   f"--socket={socket_path}", f"--pid-file={self.folder}/mariadbd.pid",
                   "--bind-address=127.0.0.1", f"--port={self.database_port}",
                   "--skip-name-resolve", f"--init-file={users}")  # fmt: skip
        wait_for(socket_path.exists, "the database")
        self.start("slurmdbd", "-D")
        add = ("sacctmgr", "--immediate", "add", "cluster", "private")
        wait_for(lambda: "private" in self.ask(*add), "the accounting")

    def start_node(self, node):
        """Start the daemon of a node."""
        # So that what runs on this node can be found.
        self.start("slurmd", "-D", "-N", node, key=node, SLURMD_NODENAME=node)
        state = ("sinfo", "--noheader", "--nodes", node, "-o", "%T")
        wait_for(lambda: "idle" in self.ask(*state), f"node {node}")

    def kill_node(self, node):
        """The machine of a node dies: its daemon, and all processes of its jobs."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        for process in self._processes(f"SLURMD_NODENAME={node}", str(self.folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    @staticmethod
    def _processes(*parts):
        """Ids of the processes whose environment has all of these texts."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (process / "environ").read_bytes()
                if all(part.encode() in environment for part in parts):
                    yield int(process.name)

    def start_controller(self):
        """Start the controller; it takes up what an earlier one had in its state."""
        self.start("slurmctld", "-D")
        wait_for(lambda: "UP" in self.ask("scontrol", "ping"), "the controller")

    def kill_controller(self):
        """The controller's machine dies."""
        daemon = self.daemons.pop("slurmctld")
        daemon.kill()
        daemon.wait()

    def stop(self):
        """Cancel all jobs, then end the daemons, in the order that lets jobs be cancelled."""
        if "slurmctld" in self.daemons:
            self.ask("scancel", "--user=root")
            with contextlib.suppress(TimeoutError):
                wait_for(lambda: not self.ask("squeue", "--noheader"), "the jobs' end", 30)
        for name in (*self.nodes, "slurmctld", "slurmdbd", "mariadbd", "munged"):
            daemon = self.daemons.pop(name, None)
            if daemon is not None:
                daemon.terminate()
                try:
                    daemon.wait(10)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
        self._end_steps()

    def _end_steps(self):
        """End the slurmstepd of this cluster's jobs, if any outlived the node's daemon."""
        for process in self._processes(f"SLURM_CONF={self.folder}/slurm.conf"):
            with contextlib.suppress(OSError):
                if b"slurmstepd" in Path(f"/proc/{process}/cmdline").read_bytes():
                    os.kill(process, signal.SIGKILL)

    def ask(self, *command):
        """Output of a command of SLURM, stripped; empty where it fails."""
        return subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **self.environment},
        ).stdout.strip()

    def tell(self, *command):
        """Run a command of SLURM that must succeed; returns its output."""
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **self.environment},
        ).stdout

    def jobs(self):
        """All jobs that the controller remembers: field by name, in the order of submission."""
        lines = self.tell("scontrol", "show", "job", "--oneliner").splitlines()
        jobs = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if "JobId=" in line]
        return sorted(jobs, key=lambda job: int(job["JobId"]))

    def embedding(self, state="RUNNING"):
        """Ids of the embedding jobs in a state."""
        return [
            job["JobId"]
            for job in self.jobs()
            if job["JobState"] == state and job.get("Comment", "").startswith("rule_embed_shard")
        ]

    def stop_processes(self, job):
        """Stop the processes of a job's step, so that it hangs."""
        for line in self.tell("scontrol", "listpids", f"{job}.0").splitlines()[1:]:
            pid = int(line.split()[0])
            if pid > 0:
                os.kill(pid, signal.SIGSTOP)

    def tasks(self):
        """By job and step, the devices and the times of start and end of its task."""
        tasks = {}
        log = self.folder / "tasks.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            job, step, event, devices, seconds = line.split()
            task = tasks.setdefault((job, step), {"devices": devices})
            task[event] = float(seconds)
        return tasks


def wait_for(condition, what, seconds=120):
    """Ask until a condition holds, and give what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.2)
    return found


if __name__ == "__main__":
    # For run.sh, before there is an environment for the tests.
    print(*missing_commands(COMMANDS + ACCOUNTING_COMMANDS * ("true" in sys.argv)))
