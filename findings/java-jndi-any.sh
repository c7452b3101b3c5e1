#!/usr/bin/env bash
# The JDK's JNDI provider com.sun.jndi.dns, JDK 17: asks with QTYPE 255 and QCLASS 255 where no attributes are named.
#
# DirContext.getAttributes(name) sends one question of type ANY and class ANY, so a server of class IN alone has to answer
# it with what it has (RFC 1035 section 3.2.5): REFUSED is an exception for the program. A question for named attributes
# has class IN. CoreDNS 1.15.0 takes the class only in blocks with a plugin that is for other classes, such as chaos.
#
# Needs Go, the Go module proxy, and a JDK. Seen: the questions, by CoreDNS's log, and what the program gets where class
# ANY is refused.
set -euo pipefail
source "$(dirname "$0")/coredns.bash"
serve bind log chaos whoami <<'COREFILE'
.:5395 {
    bind 127.0.0.1
    log . "asked {type} {class} {name}"
    chaos
    whoami
}
.:5396 {
    bind 127.0.0.1
    whoami
}
COREFILE
cat >"$folder/Lookup.java" <<'JAVA'
import java.util.Arrays;
import java.util.Hashtable;
import javax.naming.NamingException;
import javax.naming.directory.InitialDirContext;

public class Lookup {
    public static void main(String[] args) throws NamingException {
        Hashtable<String, String> env = new Hashtable<>();
        env.put("java.naming.factory.initial", "com.sun.jndi.dns.DnsContextFactory");
        env.put("java.naming.provider.url", "dns://127.0.0.1:" + args[0]);
        String[] attributes = args.length > 2 ? Arrays.copyOfRange(args, 2, args.length) : null;
        try {
            System.out.println(new InitialDirContext(env).getAttributes(args[1], attributes));
        } catch (NamingException e) {
            System.out.println(e.getClass().getSimpleName());
        }
    }
}
JAVA
lookup() { java "$folder/Lookup.java" "$@" >"$folder/said"; }
asked() { grep -o 'asked .*' "$folder/log" | tail -n 1; }
lookup 5395 www.test
seen 'no attributes named' "$(asked)" 'asked ANY CLASS255 www.test.'
lookup 5395 www.test A
seen 'attribute A' "$(asked)" 'asked A IN www.test.'
lookup 5396 www.test
seen 'class ANY refused' "$(cat "$folder/said")" OperationNotSupportedException
