#!/usr/bin/env bash
# The JDK's JNDI provider com.sun.jndi.dns, JDK 17 and 25: asks with QTYPE 255 and QCLASS 255 where no attributes are named.
#
# DirContext.getAttributes(name) sends one question of type ANY and class ANY. REFUSED is an exception for the program,
# NXDOMAIN is NameNotFoundException. RFC 1035 section 3.2.5 has QCLASS 255 stand for any class, so a server of class IN
# alone answers with what it has. A question for named attributes has class IN.
#
# Needs Go and a JDK. Seen: the attributes of a service, and the exception for a name that does not exist.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
server=
trap 'kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
go build -o "$folder/clusterdns" .
cat >"$folder/Corefile" <<COREFILE
.:5395 {
    bind 127.0.0.1
    kubernetes cluster.local {
        manifests $PWD/testdata/cluster
    }
}
COREFILE
cat >"$folder/Lookup.java" <<'JAVA'
import java.util.Hashtable;
import javax.naming.NamingException;
import javax.naming.directory.InitialDirContext;

public class Lookup {
    public static void main(String[] names) throws NamingException {
        Hashtable<String, String> env = new Hashtable<>();
        env.put("java.naming.factory.initial", "com.sun.jndi.dns.DnsContextFactory");
        env.put("java.naming.provider.url", "dns://127.0.0.1:5395");
        for (String name : names) {
            try {
                System.out.println(new InitialDirContext(env).getAttributes(name));
            } catch (NamingException e) {
                System.out.println(e.getClass().getSimpleName());
            }
        }
    }
}
JAVA
"$folder/clusterdns" -conf "$folder/Corefile" >"$folder/log" 2>&1 &
server=$!
for _ in $(seq 100); do
	grep -qs '^CLUSTERDNS\|folder read' "$folder/log" && break
	kill -0 "$server" 2>/dev/null || break
	sleep 0.1
done
got=$(java "$folder/Lookup.java" datarc-test.datarc.svc.cluster.local nope.datarc.svc.cluster.local)
want=$'{a=A: 10.110.0.51}\nNameNotFoundException'
printf '%s\n' "$got"
[ "$got" = "$want" ] || { printf 'JNDI was seen to say:\n%s\n' "$want"; cat "$folder/log"; exit 1; }
