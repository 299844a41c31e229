import pickle,sys
import tests.cluster.run as r
sys.modules['__main__'].Kept=r.Kept
kept=pickle.loads(open('/tmp/runs/102.history','rb').read())
from tests.cluster.checking import *
from tests.cluster import checking
g=[g for g in kept.groups if g.number==1365][0]
def bits(n): return [i for i in range(n.bit_length()) if n>>i&1]
for o in sorted(g.operations,key=lambda o:o.began):
    if 2669.0<o.began<2673:
        a=o.action
        d = type(a).__name__+" "+ (f"key {a.key}" if hasattr(a,'key') else str([(s.key,s.mark,s.user) for s in (a.said if isinstance(a.said,tuple) else (a.said,))]))
        if isinstance(a,Batch) and a.waits: d="IMPORT"+d
        print(f"{o.began:.3f}-{o.ended:.3f} s{o.server} a{o.attempt} {d} ->", [(s.id,s.count,s.last,[b for b in bits(s.marks) if b>=37]) for s in o.answer.seen] if o.answer else None, o.answer.gone if o.answer else '')
