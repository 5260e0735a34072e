(function () {
  'use strict';
  var bar = document.querySelector('.filter');
  if (!bar) return;
  var text = bar.querySelector('input[type=search]');
  var only = bar.querySelector('input[type=checkbox]');
  var quiet = ['pass', 'not-claimed', 'untested'];
  function apply() {
    var wanted = text.value.trim().toLowerCase();
    document.querySelectorAll('[data-result]').forEach(function (row) {
      var passed = quiet.indexOf(row.dataset.result) >= 0;
      var fits = !wanted || row.textContent.toLowerCase().indexOf(wanted) >= 0;
      row.hidden = (only.checked && passed) || !fits;
    });
    document.querySelectorAll('.group').forEach(function (group) {
      group.hidden = !group.querySelector('[data-result]:not([hidden])');
    });
  }
  function open() {
    var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (var node = target; node; node = node.parentElement) {
      if (node.tagName === 'DETAILS') node.open = true;
    }
    if (target) target.scrollIntoView();
  }
  text.addEventListener('input', apply);
  only.addEventListener('change', apply);
  window.addEventListener('hashchange', open);
  bar.hidden = false;
  if (location.hash) open();
})();
