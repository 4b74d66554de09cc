"""What each parameter takes, and what it refuses: of a range both ends and what lies beside them, of a list all of it.

A parameter without its lines here is refused itself.
"""

import string
from collections.abc import Mapping

# CloudFormation itself takes nothing else for them.
NUMBERS = {
    "BackendPort",
    "DrainSeconds",
    "DriftCheckMinutes",
    "HoldMinutes",
    "LogRetentionDays",
    "MaxLossPercent",
    "MinBackends",
    "RolloutSpacingSeconds",
}

SSM = "arn:aws:ssm:eu-west-1:123456789012:parameter/"
SECRET = "arn:aws-cn:secretsmanager:cn-north-1:210987654321:secret:"  # noqa: S105 # an ARN
KEY = "arn:aws:kms:eu-west-1:123456789012:key/"


def filled(begin: str, most: int, length: int) -> str:
    """A list of that length, of names of so many characters at most."""
    whole = begin + "x" * most
    left = length - len(whole) - 1
    if left < len(begin) + 1:
        return begin + "x" * (length - len(begin))
    return f"{whole},{filled(begin, most, left)}"


# By parameter with a pattern: what its values consist of. Anything else, at any place of a good value, is refused.
LETTERS: Mapping[str, str] = {
    "Environment": "A-Za-z0-9_.-",
    "EnvironmentTagKey": "A-Za-z0-9 +=._:/@-",
    "TypeTagKey": "A-Za-z0-9 +=._:/@-",
    "BackendTagValue": r"\w +=.:/@-",
    "ProxyTagValue": "A-Za-zÀ-ÖØ-öø-ÿ0-9 +=._:/@-",
    "BackendSubnets": "subnet0-9a-f,-",
    "ProxyRoles": "A-Za-z0-9_+=.@,-",
    "ConfigPath": "A-Za-z0-9_./-",
    "AllowUnsafeKeywords": "a-z0-9._,-",
    "ListenPorts": "0-9,",
    "LifecycleHookPrefix": "A-Za-z0-9_/-",
    "SlowStartSeconds": "0-9",
    "MaxConcurrency": "0-9%",
    "MaxErrors": "0-9%",
    "SecretArns": "A-Za-z0-9/_+=.@:,*?-",
    "SecretKeys": "A-Za-z0-9/:,-",
    "TemplateWriters": "A-Za-z0-9/_+=.@:,*?-",
    "BreakGlass": "A-Za-z0-9/_+=.@:,*?-",
    "SweepRate": "a-z0-9() ",
}
STRANGE = string.printable + "\u00a0éя÷٣€"

SINGLE_SIGN_ON = "aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Authors_????"
# What begins with a wildcard would be everybody; a session is named by its role.
NO_ARNS = (
    *("*", "author", "123456789012", ","),
    "arn:aws:iam::123456789012:role/*",
    "arn:aws:iam::123456789012:role/?uthor",
    "arn:aws:iam::123456789012:role//author",
    "arn:aws:iam::*:role/author",
    "arn:aws:iam::12345678901:role/author",
    "arn:aws:iam::1234567890123:role/author",
    "arn:*:iam::123456789012:role/author",
    "arn:aws:iam::123456789012:role/a,",
    "arn:aws:iam::123456789012:role/a, arn:aws:iam::123456789012:role/b",
    "arn:aws:iam::123456789012:role/a\nb",
    "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:role/*",
    "arn:aws:iam::123456789012:role/a,arn:aws:iam::12345678901:role/b",
    "arn:aws:iam::123456789012:role/a,arn:aws:iam::1234567890123:role/b",
    "arn:aws:iam::123456789012:role/${aws:username}",
    "arn:aws:iam::123456789012:group/authors",
    "arn:aws:sts::123456789012:assumed-role/author/martha",
)
GOOD: Mapping[str, list[str]] = {
    "Environment": ["staging", "eu.prod-2", "x" * 63],
    "EnvironmentTagKey": ["Environment", "team:stage", "cost centre", "x" * 127],
    "TypeTagKey": ["Type", "Role", "x" * 127],
    "BackendTagValue": [
        "tomcat",
        "app/v2",
        "App Server: größe",
        "приложение",
        "x" * 256,
    ],
    "ProxyTagValue": ["haproxy", "lb@edge", "Lastverteiler Süd/1", "x" * 256],
    "BackendPort": ["8080", "1", "65535"],
    "BackendSubnets": [
        "",
        f"subnet-{'0' * 32},subnet-{'f' * 32}",
        "subnet-0a1b2c3d",
        "subnet-0a1b2c3d4e5f60718,subnet-0a1b2c3d",
    ],
    "ProxyRoles": ["", "lb.blue,lb_green@2,A+b=c", "haproxy-instance", "x" * 64],
    "ConfigPath": [
        "/etc/haproxy/haproxy.cfg",
        "/opt/lb/conf.d/haproxy-1.cfg",
        "/x" * 16,
    ],
    "AllowUnsafeKeywords": [
        "",
        "program",
        "acl-file,lua-load,map",
        ",".join(["x" * 24] * 40),
    ],
    "ListenPorts": [
        *("80,443", "8443", "1,65535", ",".join(["80"] * 15)),
        *("59999", "64999", "65499", "65529", "65535"),
        "59999,64999,65499,65529,65535,59999,64999,65499,65529,9999",
    ],
    "ReloadMethod": ["syn-drop", "seamless", "runtime", "auto"],
    "ZoneAware": ["false", "true"],
    "JoinWhen": ["in-service", "running"],
    "LifecycleHookPrefix": ["haproxy-ec2-sync", "team/Edge_1-", "x" * 255],
    "DrainSeconds": ["90", "0", "2.5", "7200"],
    "SlowStartSeconds": ["30", "0", "1", "999", "2999", "3599", "3600"],
    "Canary": ["true", "false"],
    "MaxConcurrency": ["10", "25%", "100%", "9999999"],
    "MaxErrors": ["0", "10%", "100%", "9999999"],
    "RolloutSpacingSeconds": ["5", "0", "900"],
    "StartFrozen": ["true", "false"],
    "MinBackends": ["1", "0", "10000"],
    "MaxLossPercent": ["50", "0", "100"],
    "HoldMinutes": ["5", "0.2", "0", "1440"],
    "EmptyPool": ["hold", "publish"],
    "SecretArns": [
        "",
        f"{SSM}haproxy/*,{SSM}plain,{SECRET}haproxy/staging-??????",
        f"{SSM}haproxy/staging/password",
        f"{SSM}haproxy*",
        f"{SSM}x/y,{SSM}x/y/*",
        f"{SSM}x*",
        f"{SECRET}x-??????,{SECRET}x",
        f"{SECRET}haproxy-AbC123",
        f"{SECRET}haproxy*",
        filled(SECRET, 512, 1200),
    ],
    "SecretKeys": [
        "",
        f"{KEY}1234abcd-12ab-34cd-56ef-1234567890ab,{KEY}mrk-1234abcd12ab34cd56ef1234567890ab",
        f"{KEY}mrk-1,{KEY}mrk-2",
        filled(KEY, 64, 400),
    ],
    "TemplateWriters": [
        "",
        "arn:aws:iam::123456789012:role/team/auth*,arn:aws-cn:iam::123456789012:user/martha",
        f"arn:aws:iam::123456789012:role/{SINGLE_SIGN_ON}",
    ],
    "BreakGlass": [
        "",
        "arn:aws:iam::123456789012:role/glass,arn:aws-us-gov:iam::123456789012:role/deploy",
        "arn:aws:iam::123456789012:root",
    ],
    "SweepRate": [
        "rate(1 minute)",
        "rate(5 minutes)",
        "rate(1 hour)",
        "rate(2 minutes)",
        "rate(999 minutes)",
    ],
    "DriftCheckMinutes": ["10", "0.2", "0.01", "10080"],
    "LogLevel": ["INFO", "DEBUG", "WARNING", "ERROR"],
    # What CloudWatch Logs knows, but for ten years and more (PutRetentionPolicy, retentionInDays).
    "LogRetentionDays": [
        *("30", "1", "3", "5", "7", "14", "60", "90", "120", "150", "180", "365"),
        *("400", "545", "731", "1096", "1827", "2192", "2557", "2922", "3288", "3653"),
    ],
}
BAD: Mapping[str, list[str]] = {
    "Environment": ["", "a/b", "*", "staging ", "-x", "x" * 64, ".x", "_x"],
    "EnvironmentTagKey": ["", 'a"b', "a\\b", " x", "${x}", "*", "x" * 128],
    "TypeTagKey": ["", "a\nb", "?", "x" * 128],
    "BackendTagValue": ["", " tomcat", "tomcat ", "tom\u00a0cat", '"', "*", "x" * 257],
    "ProxyTagValue": ["", "a,b", "${aws:userid}", "прокси", "a÷b", "x" * 257],
    "BackendPort": ["0", "65536"],
    "BackendSubnets": [
        *("vpc-0a1b2c3d", "subnet-0a1b2c3d, subnet-0a1b2c3e", ",", "subnet-0a1b2c3"),
        "subnet-0a1b2c3d,subnet-0a1b2c3",
        f"subnet-{'0' * 33}",
        f"subnet-0a1b2c3d,subnet-{'0' * 33}",
    ],
    "ProxyRoles": [
        *(",", "a, b", "arn:aws:iam::123456789012:role/x", "x/y", "x" * 65),
        f"x,{'x' * 65}",
    ],
    "ConfigPath": [
        "haproxy.cfg",
        "/etc/../passwd",
        "/etc//x",
        "/etc/haproxy/",
        "/etc/hap roxy.cfg",
        "/etc/$x",
        "/etc/.x",
        "/x" * 17,
        "/var/lib/haproxy-ec2-sync/haproxy.cfg",
        "/var/cache/haproxy-ec2-sync",
    ],
    "AllowUnsafeKeywords": [
        *("program, map", "Program", "-f", "1x", "program,", ",map", "a;b"),
        "x" * 25,
        ",".join(["map"] * 41),
    ],
    "ListenPorts": [
        "",
        "80, 443",
        "http",
        "0",
        "80,0",
        "99999",
        "443,65536",
        "080",
        "80;443",
        ",".join(["80"] * 16),
    ],
    "ReloadMethod": ["restart"],
    "ZoneAware": ["yes"],
    "JoinWhen": ["InService", "pending"],
    "LifecycleHookPrefix": ["", "haproxy.sync", "haproxy sync", "*", "x" * 256],
    "DrainSeconds": ["-0.1", "7200.1"],
    "SlowStartSeconds": ["", "-1", "3601", "10000", "030", "0.5", "30s"],
    "Canary": ["True"],
    "MaxConcurrency": ["0", "0%", "101%", "-1", "ten", "10000000"],
    "MaxErrors": ["-1", "101%", "1.5", "10000000"],
    "RolloutSpacingSeconds": ["-1", "901"],
    "StartFrozen": ["yes", ""],
    "MinBackends": ["-1", "10001"],
    "MaxLossPercent": ["-1", "101"],
    "HoldMinutes": ["-0.1", "1440.1"],
    "EmptyPool": ["empty"],
    "SecretArns": [
        "*",
        "/haproxy/password",
        f"{SSM}*",
        f"{SSM}*/password",
        f"{SSM}/x",
        f"{SSM}x?",
        "arn:aws:ssm:eu-west-1:123456789012:*",
        "arn:aws:ssm:*:123456789012:parameter/x",
        "arn:aws:ssm:eu-west-1:*:parameter/x",
        f"{SECRET}*",
        f"{SECRET}haproxy-*-AbC123",
        "arn:aws:s3:::bucket/x",
        f"{KEY}x",
        f"{SSM}x,",
        f"{SSM}x, {SSM}y",
        filled(SECRET, 512, 1201),
    ],
    "SecretKeys": [
        "*",
        f"{KEY}*",
        "arn:aws:kms:eu-west-1:123456789012:alias/haproxy",
        f"{SSM}x",
        f"{KEY}x,",
        f"{KEY}x, {KEY}y",
        filled(KEY, 64, 401),
    ],
    "TemplateWriters": [*NO_ARNS],
    "BreakGlass": [*NO_ARNS],
    "SweepRate": [
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "rate(1000 minutes)",
        "rate(2 hours)",
        "rate(1 day)",
        "cron(* * * * ? *)",
        "1 minute",
        "",
    ],
    "DriftCheckMinutes": ["0", "0.009", "10080.1"],
    # Powertools takes them, and says nothing any more, or breaks off.
    "LogLevel": ["FATAL", "CRITICAL", "info", ""],
    "LogRetentionDays": ["0", "2", "31"],
}
