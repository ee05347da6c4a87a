// What a program can hold it can name: the types in signatures of the public surface are exported from it, too.
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));
const entry = `${root}lib/index.ts`;

/** Parts of other types that nobody needs a name for, and what only the engine makes and takes. */
const UNNAMED = {
  derived: [
    'AUGMENT_NAMES',
    'RESIDENCES',
    'surrogateTemperatures',
    'Options',
    'WarmSettings',
    'CommonSettings',
    'Weights',
  ],
  engine: ['Callable', 'Compute', 'Locate', 'MetricsLog', 'PackedFiles', 'Entry'],
  parts: ['ConstantPlan', 'Init', 'PlannedBatch', 'Size', 'BatchFeed'],
};

const isPrivate = (node: ts.Node) =>
  (ts.isClassElement(node) && node.name !== undefined && ts.isPrivateIdentifier(node.name)) ||
  (ts.canHaveModifiers(node) && node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)) ||
  ts.getJSDocTags(node).some(({ tagName }) => tagName.text === 'internal');

/** The name in a node that refers to a type. */
function nameIn(node: ts.Node): ts.Node | undefined {
  if (ts.isTypeReferenceNode(node)) return node.typeName;
  if (ts.isExpressionWithTypeArguments(node)) return node.expression;
  return ts.isTypeQueryNode(node) ? node.exprName : undefined;
}

describe('the public surface', () => {
  it('exports the types that its signatures name', () => {
    const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
    const program = ts.createProgram([entry], options);
    const checker = program.getTypeChecker();
    const target = (symbol: ts.Symbol) =>
      symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;

    const exported = new Set<ts.Symbol>();
    const addExports = (module: ts.Symbol) => {
      for (const symbol of checker.getExportsOfModule(module).map(target)) {
        if (exported.has(symbol)) continue;
        exported.add(symbol);
        if (symbol.flags & ts.SymbolFlags.Module) addExports(symbol);
      }
    };
    addExports(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!);
    expect(exported.size).to.be.above(200);

    const missing = new Map<string, string>();
    const look = (node: ts.Node, from: string): void => {
      if (ts.isBlock(node) || isPrivate(node)) return;
      const isPlace = ts.isVariableDeclaration(node) || ts.isPropertyDeclaration(node) || ts.isParameter(node);
      if (isPlace && node.type) {
        look(node.type, from); // and not its value
        return;
      }
      const name = nameIn(node);
      const symbol = name && checker.getSymbolAtLocation(name);
      const named = symbol && target(symbol);
      const file = named?.declarations?.[0]?.getSourceFile().fileName ?? '';
      const isType = named && !(named.flags & (ts.SymbolFlags.TypeParameter | ts.SymbolFlags.Property));
      if (isType && file.startsWith(`${root}lib/`) && !exported.has(named)) missing.set(named.name, from);
      ts.forEachChild(node, (child) => {
        look(child, from);
      });
    };
    for (const symbol of exported) {
      for (const declaration of symbol.declarations ?? []) {
        if (!ts.isSourceFile(declaration)) look(declaration, symbol.name);
      }
    }
    const known = new Set(Object.values(UNNAMED).flat());
    const found = [...missing].filter(([name]) => !known.has(name) && !/schema$/i.test(name));
    expect(found.map(([name, from]) => `${name}, in ${from}`)).to.deep.equal([]);
    expect([...known].filter((name) => !missing.has(name))).to.deep.equal([]);
  });
});
