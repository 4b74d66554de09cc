"""Why does nothing happen? Each part of a stack and of its fleet is asked, and judged by itself.

`checks` is the table; `account` asks AWS with the operator's own credentials, and reads only; `facts` are its answers;
the other modules judge facts, and ask nobody.
"""
