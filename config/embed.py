"""Writes the text of a file as a C string: embed.py TEXT OUT.c SYMBOL HEADER."""
import sys

text, out, symbol, header = sys.argv[1:]
escapes = str.maketrans({'\\': '\\\\', '"': '\\"', '\n': '\\n', '\t': '\\t', '?': '\\?'})
with open(text, encoding='ascii') as source, open(out, 'w', encoding='ascii') as target:
    target.write(f'#include "{header}"\n\nconst char {symbol}[] =\n')
    for line in source:
        target.write(f'    "{line.translate(escapes)}"\n')
    target.write('    ;\n')
