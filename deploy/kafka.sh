#!/usr/bin/env bash
# A real Apache Kafka (KRaft, no ZooKeeper, no Docker) on loopback, for tests and for trying
# wayward against the broker that production has. Needs JDK 17 or newer and, once, Maven.
#
#   kafka.sh up [1|3]    start one broker or a cluster of three, and wait until they answer
#   kafka.sh down        stop all
#   kafka.sh kill N      SIGKILL broker N              kafka.sh start N   start it again
#   kafka.sh freeze N    SIGSTOP: looks hung           kafka.sh thaw N    let it go on
#   kafka.sh ps          which broker is up, where
#   kafka.sh wipe        stop all and delete the brokers' data; the jars stay
#
# Brokers listen on 127.0.0.1:19092, 19192 and 19292, their controllers one port above each
# (below 32768, or an outgoing connection could hold the port by chance).
# Jars, data, logs and pids live in $WAYWARD_KAFKA_DIR (default: .kafka beside deploy/).
# $WAYWARD_KAFKA_HEAP is the heap of one broker (default 768m).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DIR=${WAYWARD_KAFKA_DIR:-$(dirname "$here")/.kafka}
HEAP=${WAYWARD_KAFKA_HEAP:-768m}
WAIT=60 # seconds a broker has to answer; four seconds are usual

say() { printf 'kafka.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }

port() { echo $((18992 + 100 * $1 + ${2:-0})); } # port BROKER [1: its controller]

# pid_of prints the pid of broker N if it runs. A pid file outlives a reboot, so the
# process must also be the one that was started with this broker's settings.
pid_of() {
  local pid
  [ -f "$DIR/$1.pid" ] || return 1
  pid=$(cat "$DIR/$1.pid")
  [ -n "$pid" ] && ps -p "$pid" -o args= 2>/dev/null | grep -qF "kafka.Kafka $DIR/$1.properties" || return 1
  echo "$pid"
}

# answers asks broker N for its API versions, by hand: Kafka accepts connections long before
# it serves requests, and a Java client would take a second of CPU for each question.
answers() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$(port "$1")" || exit 1
    printf '\0\0\0\012\0\022\0\0\0\0\0\001\377\377' >&3
    # length, then our correlation id, 1
    [ "$(timeout 2 head -c 8 <&3 | od -An -tx1 | tr -d ' \n' | tail -c 8)" = 00000001 ]
  ) 2>/dev/null
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

holder() { # who listens on a port, as far as this user may know
  local who=
  if command -v ss >/dev/null; then
    who=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1, pid \2/p' | head -1)
  elif command -v lsof >/dev/null; then
    who=$(lsof -nP -iTCP:"$1" -sTCP:LISTEN 2>/dev/null | awk 'NR == 2 { print $1 ", pid " $2 }')
  fi
  echo "${who:-a process of another user}"
}

need_tools() {
  command -v ps >/dev/null || die "ps not found (Debian: apt-get install procps)"
  command -v timeout >/dev/null || die "timeout not found (Debian: apt-get install coreutils)"
  command -v java >/dev/null || die "java not found: Kafka needs JDK 17 or newer (Debian: apt-get install openjdk-17-jre-headless)"
  local v
  v=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
  [ "${v:-0}" -ge 17 ] || die "java is version ${v:-unknown}, Kafka needs 17 or newer (Debian: apt-get install openjdk-17-jre-headless)"
}

# fetch_jars copies the jars that pom.xml pins, again when pom.xml has changed. They appear
# under their final name only when complete.
fetch_jars() {
  local sum
  sum=$(cksum <"$here/pom.xml")
  [ "$(cat "$DIR/libs/pom.cksum" 2>/dev/null)" = "$sum" ] && return
  command -v mvn >/dev/null || die "mvn not found: it brings Kafka's jars, once (Debian: apt-get install maven)"
  say "fetching Kafka's jars, once (about 55 MB)"
  rm -rf "$DIR/libs.part"
  if ! mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$DIR/libs.part" -DincludeScope=runtime >"$DIR/mvn.log" 2>&1; then
    tail -20 "$DIR/mvn.log" >&2
    die "mvn could not fetch the jars; the whole log is $DIR/mvn.log"
  fi
  echo "$sum" >"$DIR/libs.part/pom.cksum"
  rm -rf "$DIR/libs"
  mv "$DIR/libs.part" "$DIR/libs"
}

settings() { # settings N SIZE: the properties of broker N
  local voters="" copies=1 isr=1 i
  for ((i = 1; i <= $2; i++)); do voters+="${voters:+,}$i@127.0.0.1:$(port "$i" 1)"; done
  if [ "$2" -ge 3 ]; then copies=3 isr=2; fi
  cat >"$DIR/$1.properties" <<P
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$(port "$1"),CONTROLLER://127.0.0.1:$(port "$1" 1)
advertised.listeners=PLAINTEXT://127.0.0.1:$(port "$1")
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$DIR/data$1
# topics are made by "wayward topics apply", with the settings it needs, never by accident
auto.create.topics.enable=false
default.replication.factor=$copies
min.insync.replicas=$isr
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$copies
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$isr
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$isr
# a machine for tests: no waiting for more members, quick fail-over, small buffers
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=6000
log.cleaner.dedupe.buffer.size=16777216
P
}

ports_free() { # ports_free N: or say who is in the way
  local p
  for p in "$(port "$1")" "$(port "$1" 1)"; do
    ! listening "$p" || die "port $p, which broker $1 needs, is taken ($(holder "$p")): stop that first; brokers of another WAYWARD_KAFKA_DIR with 'kafka.sh down' and that directory"
  done
}

launch() { # launch N: start its JVM, do not wait
  if [ ! -f "$DIR/data$1/meta.properties" ]; then
    java -cp "$DIR/libs/*" kafka.tools.StorageTool format -t "$(cat "$DIR/cluster.id")" -c "$DIR/$1.properties" >"$DIR/$1.format.log" 2>&1 ||
      { tail -20 "$DIR/$1.format.log" >&2; die "broker $1: its storage in $DIR/data$1 could not be formatted"; }
  fi
  # nohup and no standard input: it must outlive the terminal, and the make or test that started it
  nohup java -Xms256m -Xmx"$HEAP" -XX:+UseG1GC -Dlog4j2.configurationFile="$DIR/log4j2.yaml" \
    -cp "$DIR/libs/*" kafka.Kafka "$DIR/$1.properties" >"$DIR/$1.log" 2>&1 </dev/null &
  echo $! >"$DIR/$1.pid"
}

await() { # await N: until broker N answers
  local end=$((SECONDS + WAIT))
  while ! answers "$1"; do
    if ! pid_of "$1" >/dev/null; then
      tail -20 "$DIR/$1.log" >&2
      die "broker $1 died while starting; the whole log is $DIR/$1.log"
    fi
    if [ "$SECONDS" -ge "$end" ]; then
      tail -20 "$DIR/$1.log" >&2
      die "broker $1 did not answer within $WAIT s; the whole log is $DIR/$1.log"
    fi
    sleep 0.2
  done
}

addresses() { # addresses SIZE: what belongs into wayward's config
  local i out=""
  for ((i = 1; i <= $1; i++)); do out+="${out:+,}127.0.0.1:$(port "$i")"; done
  echo "$out"
}

up() {
  local want=${1:-} size n missing=()
  if [ -n "$want" ] && [ "$want" != 1 ] && [ "$want" != 3 ]; then usage; fi
  need_tools
  mkdir -p "$DIR"
  DIR=$(cd "$DIR" && pwd)
  echo '*' >"$DIR/.gitignore"
  size=$(cat "$DIR/size" 2>/dev/null || echo "${want:-1}")
  # The voters and the replication of Kafka's own topics are fixed when the data is made.
  if [ -n "$want" ] && [ "$want" != "$size" ]; then
    die "the data in $DIR is that of $size broker(s), not $want: run 'kafka.sh wipe' first, or set another WAYWARD_KAFKA_DIR"
  fi
  fetch_jars
  cat >"$DIR/log4j2.yaml" <<'L'
Configuration:
  Appenders: {Console: {name: STDOUT, PatternLayout: {pattern: "[%d] %p %m (%c)%n"}}}
  Loggers: {Root: {level: WARN, AppenderRef: [{ref: STDOUT}]}}
L
  if [ ! -s "$DIR/cluster.id" ]; then
    java -cp "$DIR/libs/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1 >"$DIR/cluster.id"
  fi
  echo "$size" >"$DIR/size"
  for ((n = 1; n <= size; n++)); do
    pid_of "$n" >/dev/null || missing+=("$n")
  done
  # all ports before the first start, or half a cluster would be left behind
  for n in ${missing[@]+"${missing[@]}"}; do ports_free "$n"; done
  for n in ${missing[@]+"${missing[@]}"}; do
    settings "$n" "$size"
    launch "$n"
  done
  for ((n = 1; n <= size; n++)); do await "$n"; done
  if [ ${#missing[@]} -gt 0 ]; then say "up: $(addresses "$size")"; else say "already up: $(addresses "$size")"; fi
}

broker() { # broker N: N if there is such a broker, else an error
  local size
  size=$(cat "$DIR/size" 2>/dev/null) || die "no brokers in $DIR: run 'kafka.sh up' first"
  case ${1:-} in
  [1-9]) [ "$1" -le "$size" ] || die "there is no broker $1 in $DIR, only $size" ;;
  *) die "which broker? 1 to $size" ;;
  esac
}

gone() { # gone PID SECONDS: wait until it is gone
  local end=$((SECONDS + $2))
  while kill -0 "$1" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

down() {
  local n pid pids=()
  for n in 1 2 3; do
    if pid=$(pid_of "$n"); then
      pids+=("$pid")
      kill "$pid" && kill -CONT "$pid" # a frozen one could not hear it
    fi
  done
  for pid in ${pids[@]+"${pids[@]}"}; do
    if ! gone "$pid" 30; then
      say "pid $pid did not stop within 30 s, killing it"
      kill -9 "$pid"
      gone "$pid" 10 || die "pid $pid does not die"
    fi
  done
  rm -f "$DIR"/[123].pid
  say "down (${#pids[@]} stopped)"
}

send() { # send SIGNAL N
  local pid
  broker "${2:-}"
  pid=$(pid_of "$2") || die "broker $2 is not running"
  kill "-$1" "$pid"
  echo "$pid"
}

show() {
  local n size pid
  size=$(cat "$DIR/size" 2>/dev/null) || { say "no brokers in $DIR"; return; }
  for ((n = 1; n <= size; n++)); do
    if ! pid=$(pid_of "$n"); then
      echo "$n down"
    elif answers "$n"; then
      echo "$n up 127.0.0.1:$(port "$n") pid $pid"
    else
      echo "$n silent 127.0.0.1:$(port "$n") pid $pid"
    fi
  done
}

[ -d "$DIR" ] && DIR=$(cd "$DIR" && pwd)
case ${1:-} in
up) up "${2:-}" ;;
down) down ;;
kill)
  pid=$(send KILL "${2:-}")
  gone "$pid" 10 || die "pid $pid does not die"
  ;;
start)
  broker "${2:-}"
  need_tools
  if pid=$(pid_of "$2"); then
    say "broker $2 already runs, pid $pid"
  else
    ports_free "$2"
    launch "$2"
  fi
  await "$2"
  ;;
freeze) send STOP "${2:-}" >/dev/null ;;
thaw) send CONT "${2:-}" >/dev/null ;;
ps) show ;;
wipe)
  down
  rm -rf "$DIR"/data[123] "$DIR"/[123].* "$DIR/size" "$DIR/cluster.id"
  ;;
*) usage ;;
esac
